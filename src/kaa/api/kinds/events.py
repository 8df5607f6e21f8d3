"""The events.k8s.io group: the newer form of the core group's Event, which is stored as that."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from kaa.api import printing, validation
from kaa.api.conversions.events import from_core, to_core
from kaa.api.objects import Object
from kaa.api.resource import Column, GroupVersion, Resource


def of_core(column: Column) -> Column:
    """The core group's column for an event in this form."""

    def value(event: Object, now: datetime) -> Any:
        return column.value(to_core(event), now)

    return replace(column, value=value)


CORE_FIELDS = {
    **{
        f"regarding.{part}": f"involvedObject.{part}"
        for part in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reason": "reason",
    "reportingController": "reportingComponent",
    "type": "type",
}
"""What events may be selected by, and what the core group calls it."""

V1 = GroupVersion(
    "events.k8s.io",
    "v1",
    (
        Resource(
            kind="Event",
            columns=tuple(of_core(column) for column in printing.cluster.EVENT),
            short_names=("ev",),
            selectable_fields=tuple(CORE_FIELDS),
            stored_fields=CORE_FIELDS,
            validate=validation.events.validate_event,
            validate_update=validation.events.validate_event_update,
            has_generation=False,
            storage_group="",
            storage_version="v1",
            to_storage=to_core,
            from_storage=from_core,
        ),
    ),
)
