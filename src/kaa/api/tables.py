"""The Table form of objects: what `kubectl get` asks for, so that columns are decided by the server.

A row's `object` is the whole object, its metadata alone (PartialObjectMetadata, the usual) or nothing, as the
request's `includeObject` says. Cells come from the kind's columns; a kind without any shows Name and Age.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from kaa.api.objects import Object
from kaa.api.printing.cells import AGE, NAME
from kaa.api.resource import Column, Resource

META_V1 = "meta.k8s.io/v1"


def columns_of(resource: Resource) -> tuple[Column, ...]:
    return resource.columns or (NAME, AGE)


@cache
def _definitions(columns: tuple[Column, ...]) -> list[Object]:
    return [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in columns
    ]


def partial_metadata(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": META_V1, "metadata": obj["metadata"]}


INCLUDED: dict[str, Callable[[Object], Object | None]] = {
    "Metadata": partial_metadata,
    "Object": lambda obj: obj,
    "None": lambda obj: None,
}
"""What a row's `object` is, for each value of `includeObject`."""


def row(columns: tuple[Column, ...], obj: Object, now: datetime, include_object: str = "Metadata") -> Object:
    """One row. The object's own dicts are shared with it, not copied."""
    return {
        "cells": [column.value(obj, now) for column in columns],
        "object": INCLUDED[include_object](obj),
    }


def table(
    resource: Resource,
    objects: Iterable[Object],
    now: datetime,
    list_metadata: Mapping[str, Any] | None = None,
    include_object: str = "Metadata",
    *,
    with_definitions: bool = True,
) -> Object:
    """A Table of whole objects. A watch's later events leave the column definitions out: they go with the first."""
    columns = columns_of(resource)
    return {
        "kind": "Table",
        "apiVersion": META_V1,
        "metadata": dict(list_metadata or {}),
        "columnDefinitions": _definitions(columns) if with_definitions else None,
        "rows": [row(columns, obj, now, include_object) for obj in objects],
    }
