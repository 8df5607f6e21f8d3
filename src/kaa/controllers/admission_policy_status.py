"""ValidatingAdmissionPolicy status: which generation of a policy has been looked at.

Upstream's controller also checks the types in its expressions. Here `typeChecking` says that there is nothing to warn
of: an expression that does not fit an object is found when it is evaluated.
"""

from datetime import datetime

from kaa.api.objects import Object
from kaa.controllers.actions import UpdateStatus
from kaa.controllers.controller import Actions, Controller, View


def reconcile(policy: Object, view: View, now: datetime) -> Actions:
    generation, status = policy["metadata"].get("generation", 0), policy.get("status", {})
    if status.get("observedGeneration", 0) < generation:
        yield UpdateStatus(policy, {**status, "observedGeneration": generation, "typeChecking": {}})


CONTROLLER = Controller(name="validatingadmissionpolicy-status", kind="ValidatingAdmissionPolicy", reconcile=reconcile)
