"""Rules for Events: lenient ones for those of the old sort, which have no eventTime, strict ones for the new.

What is written through events.k8s.io is of the new sort, may not be changed but for its series, and says nothing that
only the old sort says. Both forms are judged by their fields' names in the core group, as upstream's messages do.
"""

from typing import Any

from kaa.api.conversions.events import to_core
from kaa.api.objects import Object
from kaa.api.validation.fields import invalid, required
from kaa.api.validation.names import qualified_name
from kaa.api.validation.walker import Errors, immutable

LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
"""Bytes at most, of events of the new sort."""

OLD_FIELDS = ("firstTimestamp", "lastTimestamp", "count", "source")

NEVER_CHANGE = (
    "involvedObject",
    "reason",
    "message",
    *("source", "firstTimestamp", "lastTimestamp", "count"),
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def validate_core_event(event: Object, old: Object | None) -> Errors:
    return _common(event, "reportingComponent")


def validate_event(event: Object, old: Object | None) -> Errors:
    """Of events.k8s.io."""
    event = to_core(event)
    errors = _common(event, "reportingController")
    if old is not None:
        return errors
    errors += _series(event)
    if not event.get("eventTime"):
        errors.append(required("eventTime"))
    if event.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {event.get('type', '')}"))
    errors += [invalid(field, "", "needs to be unset") for field in OLD_FIELDS if event.get(field)]
    return errors


def validate_event_update(new: Object, old: Object, subresource: str) -> Errors:
    """Of events.k8s.io."""
    new, old = to_core(new), to_core(old)
    errors = _series(new) if new.get("series") != old.get("series") else []
    return errors + immutable(_without_empty(new), _without_empty(old), *NEVER_CHANGE)


def _without_empty(event: Object) -> Object:
    return {key: value for key, value in event.items() if value}


def _common(event: Object, controller: str) -> Errors:
    namespace = event["metadata"].get("namespace", "")
    about = (event.get("involvedObject") or {}).get("namespace", "")
    mismatch = invalid("involvedObject.namespace", about, "does not match event.namespace")
    if not event.get("eventTime"):
        return [] if namespace == (about or "default") else [mismatch]
    errors = [] if about or namespace in ("default", "kube-system") else [mismatch]
    reporter = event.get("reportingComponent") or ""
    if not reporter:
        errors.append(required(controller))
    errors += [invalid(controller, reporter, problem) for problem in qualified_name(reporter)]
    for field, limit in LIMITS.items():
        value = event.get(field) or ""
        if not value and field != "message":
            errors.append(required(field))
        if len(value.encode()) > limit:
            errors.append(invalid(field, "", f"can have at most {limit} characters"))
    return errors


def _series(event: Object) -> Errors:
    series: Any = event.get("series")
    if series is None:
        return []
    errors = [] if (series.get("count") or 0) >= 2 else [invalid("series.count", "", "should be at least 2")]
    return errors if series.get("lastObservedTime") else [*errors, required("series.lastObservedTime")]
