"""TTL after finished: a job with `ttlSecondsAfterFinished` goes that long after its end, and its pods with it."""

from datetime import datetime, timedelta

from kaa.api.objects import Object, condition, is_being_deleted
from kaa.controllers.actions import Delete, RequeueAfter
from kaa.controllers.controller import Actions, Controller, View, either
from kaa.controllers.job_verdict import FINAL
from kaa.lib.clock import parse_rfc3339


def reconcile(job: Object, view: View, now: datetime) -> Actions:
    ttl, ended = job["spec"].get("ttlSecondsAfterFinished"), end_of(job)
    if ttl is None or ended is None or is_being_deleted(job):
        return
    left = (ended + timedelta(seconds=ttl) - now).total_seconds()
    yield RequeueAfter(left) if left > 0 else Delete(job, propagation="Foreground")


def end_of(job: Object) -> datetime | None:
    """When it became Complete or Failed."""
    for kind in FINAL.values():
        final = condition(job.get("status", {}).get("conditions"), kind)
        if final is not None and final["status"] == "True":
            return parse_rfc3339(final["lastTransitionTime"])
    return None


def has_ttl(job: Object) -> bool:
    return "ttlSecondsAfterFinished" in job["spec"]


CONTROLLER = Controller(name="ttl-after-finished", kind="Job", reconcile=reconcile, when=either(has_ttl))
