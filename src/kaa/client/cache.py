"""An informer's cache: objects as bytes, with the few fields that are selected on.

A 3.5 KB pod is 16 KB as a tree of dicts, and dicts make every full garbage collection slow; so only the last
`DECODED_OBJECTS` that were told or asked for are kept decoded. Indexes are computed once, when an object comes in; most
changes of one leave its place in them as it was.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from sys import intern
from typing import TypeAlias

import orjson

from kaa.api.objects import Object, controller_of, labels_of, namespace_of
from kaa.api.selectors import Selector

DECODED_OBJECTS = 256
"""Objects of one kind that stay decoded; some 16 KB each."""

BY_NAMESPACE = "namespace"
BY_CONTROLLER = "controller"
"""Indexes that every cache has: by namespace, and by the uid of the controlling owner."""

Key: TypeAlias = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is ""."""

Objects: TypeAlias = list[Object]  # by a name of its own: classes here have a method `list`
IndexKeys: TypeAlias = Callable[[Object], Iterable[str]]


@dataclass(slots=True)
class Cached:
    raw: bytes  # b"" while it is decoded and has never been anything else
    revision: int
    labels: dict[str, str]
    index_keys: tuple[tuple[str, ...], ...]  # in the order of the cache's indexes


def controller_uid(obj: Object) -> Iterable[str]:
    controller = controller_of(obj)
    return (controller["uid"],) if controller is not None else ()


def revision_of(obj: Object) -> int:
    """metadata.resourceVersion as a number, to tell newer from older; 0 where a server's is none."""
    text: str = obj["metadata"].get("resourceVersion", "")
    return int(text) if text.isdecimal() else 0


class Cache:
    def __init__(self) -> None:
        self._objects: dict[Key, Cached] = {}
        self._decoded: OrderedDict[Key, Object] = OrderedDict()
        self._shared_labels: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._indexes: dict[str, tuple[IndexKeys, dict[str, dict[Key, None]]]] = {}
        self.add_index(BY_NAMESPACE, lambda obj: (namespace_of(obj),))
        self.add_index(BY_CONTROLLER, controller_uid)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: Key) -> bool:
        return key in self._objects

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def revision(self, key: Key) -> int:
        """The cached object's revision, -1 if there is none."""
        cached = self._objects.get(key)
        return cached.revision if cached is not None else -1

    def add_index(self, name: str, keys: IndexKeys) -> None:
        """`keys` says under which keys an object is found, from the object alone."""
        assert name not in self._indexes, f"index {name} exists"
        self._indexes[name] = (keys, {})
        for key in list(self._objects):
            self.put(key, self._decode(key))

    def put(self, key: Key, obj: Object) -> None:
        index_keys = tuple([tuple(map(intern, keys(obj))) for keys, _ in self._indexes.values()])
        labels, before = labels_of(obj), self._objects.get(key)
        if before is None or before.index_keys != index_keys:
            if before is not None:
                self._remove_from_indexes(key, before)
            self._add_to_indexes(key, index_keys)
        labels = before.labels if before is not None and before.labels == labels else self._share(labels)
        self._objects[key] = Cached(b"", revision_of(obj), labels, index_keys)
        self._keep_decoded(key, obj)

    def remove(self, key: Key) -> None:
        cached = self._objects.pop(key, None)
        self._decoded.pop(key, None)
        if cached is not None:
            self._remove_from_indexes(key, cached)

    def _add_to_indexes(self, key: Key, index_keys: tuple[tuple[str, ...], ...]) -> None:
        for (_, found), wanted in zip(self._indexes.values(), index_keys, strict=True):
            for index_key in wanted:
                found.setdefault(index_key, {})[key] = None

    def _remove_from_indexes(self, key: Key, cached: Cached) -> None:
        for (_, found), index_keys in zip(self._indexes.values(), cached.index_keys, strict=False):
            for index_key in index_keys:
                del found[index_key][key]
                if not found[index_key]:
                    del found[index_key]

    def get(self, key: Key) -> Object | None:
        if key not in self._objects:
            return None
        obj = self._decode(key)
        self._keep_decoded(key, obj)
        return obj

    def list(self, namespace: str | None, selector: Selector | None) -> Objects:
        """In the order of arrival. Does not push out what is decoded."""
        keys: Iterable[Key] = self._objects if namespace is None else self._keys(BY_NAMESPACE, namespace)
        return [self._decode(key) for key in keys if selector is None or selector.matches(self._objects[key].labels)]

    def count(self, namespace: str) -> int:
        return sum(1 for _ in self._keys(BY_NAMESPACE, namespace))

    def count_by_index(self, name: str, index_key: str) -> int:
        return sum(1 for _ in self._keys(name, index_key))

    def by_index(self, name: str, index_key: str) -> Objects:
        return [self._decode(key) for key in self._keys(name, index_key)]

    def _keys(self, name: str, index_key: str) -> Iterable[Key]:
        return self._indexes[name][1].get(index_key, ())

    def _decode(self, key: Key) -> Object:
        decoded = self._decoded.get(key)
        if decoded is None:
            decoded = orjson.loads(self._objects[key].raw)
        return decoded

    def _keep_decoded(self, key: Key, obj: Object) -> None:
        self._decoded[key] = obj
        self._decoded.move_to_end(key)
        if len(self._decoded) > DECODED_OBJECTS:
            oldest, decoded = self._decoded.popitem(last=False)
            cached = self._objects[oldest]
            # Copied: what orjson returns holds on to 8 KB, however short it is.
            cached.raw = cached.raw or bytes(memoryview(orjson.dumps(decoded)))

    def _share(self, labels: dict[str, str]) -> dict[str, str]:
        """One dict for all objects with the same labels, as the pods of a template have."""
        items = tuple(labels.items())
        shared = self._shared_labels.get(items)
        if shared is None:
            if len(self._shared_labels) > len(self._objects) + DECODED_OBJECTS:
                # Most belong to objects that are gone.
                self._shared_labels.clear()
            shared = self._shared_labels[items] = dict(items)
        return shared
