"""Kubernetes objects are dicts exactly as on the wire. The few questions that every room asks of them.

An object that came from a cache or the store is never modified: copy it (`copy_object`), then change the copy.
"""

from collections.abc import Container, Iterable
from typing import Any, TypeAlias

import orjson

Object: TypeAlias = dict[str, Any]


MAX_DEPTH = 200
"""Levels of nesting that a value may have. No object of any use comes near; encoders and rules call themselves."""


def is_too_deep(value: Any) -> bool:
    """Whether a JSON value has more than MAX_DEPTH levels."""
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [inner for inner in level if isinstance(inner, (dict, list))]
        level = [inner for c in containers for inner in (c.values() if isinstance(c, dict) else c)]
        if not level:
            return False
    return any(isinstance(inner, (dict, list)) for inner in level)


def copy_object(obj: Object) -> Object:
    """A deep copy. A round trip through bytes is three times as fast as `copy.deepcopy` on a pod."""
    copied: Object = orjson.loads(orjson.dumps(obj))
    return copied


def differ(a: Object, b: Object, aside: Container[str]) -> bool:
    """Whether any fields but those `aside` differ. One that is null is absent."""
    for key, value in a.items():
        if key not in aside:
            other = b.get(key)
            if value is not other and value != other:
                return True
    return any(b[key] is not None for key in b.keys() - a.keys() if key not in aside)


def name_of(obj: Object) -> str:
    name: str = obj["metadata"].get("name", "")
    return name


def namespace_of(obj: Object) -> str:
    """The namespace, "" for a cluster-scoped object."""
    namespace: str = obj["metadata"].get("namespace", "")
    return namespace


def uid_of(obj: Object) -> str:
    uid: str = obj["metadata"].get("uid", "")
    return uid


def labels_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_being_deleted(obj: Object) -> bool:
    return obj["metadata"].get("deletionTimestamp") is not None


def owner_references(obj: Object) -> list[Object]:
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Object) -> Object | None:
    """The owner reference with `controller: true`, of which there is at most one."""
    for ref in owner_references(obj):
        if ref.get("controller"):
            return ref
    return None


def owner_reference(owner: Object, *, controller: bool = True) -> Object:
    """A reference to `owner` that blocks its foreground deletion, as controllers set on what they create."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def condition(conditions: Iterable[Object] | None, kind: str) -> Object | None:
    """The condition of that type in a status's list, or None."""
    for found in conditions or ():
        if found.get("type") == kind:
            return found
    return None
