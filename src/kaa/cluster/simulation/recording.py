"""A recording: what happened in a running cluster, as lines of JSON, from any Kubernetes API.

    {"time":"2026-11-24T10:42:00.123456Z","verb":"update","resource":"pods","object":{...}}

It begins with a `create` for each object that is there already. `time` is when the change was heard of; changes of one
kind are in their order, and kinds that are defined meanwhile are recorded from then on. The file holds all Secrets as
well, unless they are left out, so nobody else may read it. It ends when it has its size.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

import orjson

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.client.discovery import discover, with_verbs
from kaa.client.informer import Change, Informer, whole
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.lib.clock import Clock, parse_rfc3339, rfc3339_micro

DISCOVERY_SECONDS = 5.0
"""How often one looks whether there are new kinds."""


class Full(Exception):
    """The recording has reached its size."""


class BadRecording(Exception):
    """The file is no recording. The message is for a person."""


@dataclass(frozen=True, slots=True)
class Line:
    """One change. `verb` is create, update or delete; `object` is what it left, or what was deleted."""

    time: datetime
    verb: str
    resource: str
    object: Object

    def encode(self) -> bytes:
        fields = {"time": rfc3339_micro(self.time), "verb": self.verb, "resource": self.resource}
        return orjson.dumps({**fields, "object": self.object}) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "Line":
        """Raises ValueError, KeyError, TypeError."""
        fields = orjson.loads(line)
        return cls(parse_rfc3339(fields["time"]), fields["verb"], fields["resource"], fields["object"])


def lines_of(path: Path) -> Iterator[Line]:
    """Raises BadRecording. A last line that was cut short, as by a crash, does not count."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield Line.decode(line)
            except (ValueError, KeyError, TypeError) as error:
                raise BadRecording(f"{path}, line {number}: not a recorded change: {error}") from None


class Recorder:
    """Writes to `file` until it has `limit_bytes`. `excluded` are names of resources."""

    def __init__(
        self, client: Client, clock: Clock, file: BinaryIO, limit_bytes: int, excluded: Collection[str] = ()
    ) -> None:
        self.lines = 0
        self.size_bytes = 0
        self._client = client
        self._clock = clock
        self._file = file
        self._limit_bytes = limit_bytes
        self._excluded = excluded
        self._full = asyncio.Event()
        self._watched: dict[Resource, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled, or until the file is full. Raises APIError, TransportError if there is no cluster at all."""
        found = await self._found()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._follow(found, tasks)
                tasks.create_task(self._rediscover(tasks))
                await self._full.wait()
                raise Full
        except* Full:
            pass

    async def _rediscover(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._clock.sleep(DISCOVERY_SECONDS)
            with suppress(APIError, TransportError):  # the server is away: the informers wait for it, too
                self._follow(await self._found(), tasks)

    async def _found(self) -> list[Resource]:
        kinds = with_verbs(await discover(self._client), ("list", "watch"))
        return [resource for resource in kinds if resource.name not in self._excluded]

    def _follow(self, found: list[Resource], tasks: asyncio.TaskGroup) -> None:
        """Begins with kinds that are new, and ends with those that are gone."""
        for resource in [known for known in self._watched if known not in found]:
            self._watched.pop(resource).cancel()
        for resource in found:
            if resource not in self._watched:
                informer = Informer(self._client, resource, self._clock, trim=whole)
                informer.subscribe(partial(self._changed, resource))
                self._watched[resource] = tasks.create_task(informer.run(), name=f"recording {resource.name}")

    def _changed(self, resource: Resource, change: Change) -> None:
        verb = "delete" if change.new is None else "create" if change.old is None else "update"
        obj = change.new or change.old
        if obj is None or self._full.is_set():
            return
        line = Line(self._clock.now(), verb, resource.name, obj).encode()
        if self.size_bytes + len(line) > self._limit_bytes:
            self._full.set()
            return
        # At once: a recording of a crash is worth most when the recorder has crashed with it.
        self._file.write(line)
        self._file.flush()
        self.lines += 1
        self.size_bytes += len(line)
