"""An Event of the core group and one of events.k8s.io are the same but for the names of fields."""

from kaa.api.objects import Object

RENAMED = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""Fields that have another name in the core group; all others are the same."""
REPORTERS = ("reportingComponent", "reportingInstance")
"""Always there in the core group, if only as ""."""
RENAMED_BACK = {core: name for name, core in RENAMED.items()}


def to_core(event: Object) -> Object:
    return {RENAMED.get(key, key): value for key, value in event.items()} | {"apiVersion": "v1"}


def from_core(event: Object) -> Object:
    renamed = {RENAMED_BACK.get(key, key): value for key, value in event.items() if value != "" or key not in REPORTERS}
    return renamed | {"apiVersion": "events.k8s.io/v1"}
