"""Certificate cleaning: requests go an hour after they were answered, or a day after nobody did."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from kaa.api.objects import Object, is_being_deleted
from kaa.controllers.actions import Delete, RequeueAfter
from kaa.controllers.controller import Actions, Controller, View
from kaa.lib.clock import parse_rfc3339

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)


def reconcile(csr: Object, view: View, now: datetime) -> Actions:
    due = min(deadlines(csr), default=None)
    if due is None or is_being_deleted(csr):
        return
    left = (due - now).total_seconds()
    yield RequeueAfter(left) if left > 0 else Delete(csr)


def deadlines(csr: Object) -> Iterable[datetime]:
    status = csr.get("status", {})
    conditions = status.get("conditions") or ()
    if not conditions:
        yield parse_rfc3339(csr["metadata"]["creationTimestamp"]) + DAY
    for known in conditions:
        if known["type"] in ("Denied", "Failed") or (known["type"] == "Approved" and status.get("certificate")):
            since = known.get("lastUpdateTime") or csr["metadata"]["creationTimestamp"]
            yield parse_rfc3339(since) + HOUR


CONTROLLER = Controller(name="csrcleaner", kind="CertificateSigningRequest", reconcile=reconcile)
