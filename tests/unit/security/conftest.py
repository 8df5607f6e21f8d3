"""What the security tests share: objects in memory instead of a server's cache, and a clock that stands still."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from kaa.api.objects import Object, name_of, namespace_of
from kaa.lib.clock import VIRTUAL_EPOCH, VirtualClock
from kaa.server.request import Attributes, User


class MemoryReader:
    """A `Reader` of a dict. Objects are given as (kind, object) and found by kind, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.changes = 0

    def add(self, kind: str, name: str, namespace: str = "", **fields: object) -> Object:
        metadata: Object = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self.changes + 1)}
        if namespace:
            metadata["namespace"] = namespace
        metadata.update(fields.pop("metadata", {}))  # type: ignore[call-overload]
        obj: Object = {"kind": kind, "metadata": metadata, **fields}
        self.put(kind, obj)
        return obj

    def put(self, kind: str, obj: Object) -> None:
        self.changes += 1
        self.objects[kind, namespace_of(obj), name_of(obj)] = obj

    def remove(self, kind: str, name: str, namespace: str = "") -> None:
        self.changes += 1
        del self.objects[kind, namespace, name]

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((kind, namespace, name))

    def list(self, kind: str, namespace: str | None = None, fields: Mapping[str, str] | None = None) -> list[Object]:
        items: Iterable[tuple[tuple[str, str, str], Object]] = sorted(self.objects.items())
        listed = [obj for (k, ns, _), obj in items if k == kind and namespace in (None, ns)]
        return [obj for obj in listed if all(field_of(obj, path) == v for path, v in (fields or {}).items())]

    def revision(self, kind: str) -> int:
        return self.changes


def field_of(obj: Object, path: str) -> str:
    found: Any = obj
    for part in path.split("."):
        found = (found or {}).get(part)
    return found or ""


class StoppedClock(VirtualClock):
    """A clock that stands at a moment and never makes anybody wait."""

    def __init__(self, moment: datetime = VIRTUAL_EPOCH) -> None:
        super().__init__(seed=1)
        self.moment = moment
        self.slept_seconds = 0.0

    def now(self) -> datetime:
        return self.moment

    def advance(self, **passed: float) -> None:
        self.moment += timedelta(**passed)

    async def sleep(self, seconds: float) -> None:
        self.slept_seconds += seconds


@pytest.fixture
def reader() -> MemoryReader:
    return MemoryReader()


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def asks() -> Callable[..., Attributes]:
    """A question: user, verb, `resource.group/subresource` or a path, and where."""

    def attributes(user: User | str, verb: str, what: str, *, namespace: str = "", name: str = "") -> Attributes:
        asker = User(user) if isinstance(user, str) else user
        if what.startswith("/"):
            return Attributes(asker, verb, path=what)
        qualified, _, subresource = what.partition("/")
        plural, _, group = qualified.partition(".")
        return Attributes(asker, verb, group, "v1", plural, subresource, namespace, name, is_resource=True)

    return attributes
