"""Events: what a component tells people about an object. `kubectl describe` shows them.

Recording never waits and never fails its caller: events queue here, and are written one by one. The same event again
is counted on the one that exists. Events that differ in their message alone are told one by one only as long as
they are fewer than SIMILAR; the others are counted on one that stands for them all, with the latest message. An object
that causes very many is rate-limited, so that a component which fails in a loop does not fill the store. The numbers
are client-go's.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field

from kaa.api.errors import APIError
from kaa.api.objects import Object, name_of, namespace_of, uid_of
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock, rfc3339

log = logging.getLogger(__name__)

MAX_WAITING_EVENTS = 1000
"""Events not written yet; further ones are dropped."""

MAX_REMEMBERED = 4096
"""Events and objects that are remembered, for counting and for limiting; the least recent are forgotten."""

REPEAT_SECONDS = 600.0
"""The same event counts as a repeat within this time of the one before."""

SIMILAR = 10
COMBINED = "(combined from similar events): "
"""From this message on, events of a kind that follow each other within REPEAT_SECONDS are one, which says so."""

BURST = 25
REFILL_SECONDS = 300.0
"""Events that one object may cause at once, and how long until it may cause one more."""

MAX_MESSAGE_CHARACTERS = 1024

TRIES = 12
BACKOFF = Backoff(initial_seconds=0.5, limit_seconds=10.0)
"""Writing while the server does not answer."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What makes two events the same one; the object's revision is told, but does not count."""

    regarding: tuple[tuple[str, str], ...]
    type: str
    reason: str
    component: str
    text: str  # the message; "" where one stands for many
    message: str = field(compare=False)
    resource_version: str = field(compare=False)


@dataclass(slots=True)
class _Written:
    """The Event object that a repeat is counted on."""

    name: str
    namespace: str
    count: int
    last_seconds: float


@dataclass(slots=True)
class _Series:
    """Events about one thing, for one reason, that differ in their message."""

    messages: set[str] = field(default_factory=set)  # fewer than SIMILAR
    last_seconds: float = 0.0

    def is_full(self, message: str, now: float) -> bool:
        """Whether this message is one too many."""
        if now - self.last_seconds > REPEAT_SECONDS:
            self.messages.clear()
        self.last_seconds = now
        if message in self.messages or len(self.messages) < SIMILAR - 1:
            self.messages.add(message)
            return False
        return True


@dataclass(slots=True)
class _Allowance:
    """A token bucket."""

    tokens: float
    filled_seconds: float

    def take(self, now: float) -> bool:
        self.tokens = min(BURST, self.tokens + (now - self.filled_seconds) / REFILL_SECONDS)
        self.filled_seconds = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class EventRecorder:
    def __init__(self, client: Client, clock: Clock, component: str, host: str = "") -> None:
        """`component` is who tells, e.g. `kubelet`; `host` the node it runs on, where that matters."""
        self._client = client
        self._clock = clock
        self._component = component
        self._host = host
        self._source = {"component": component, "host": host} if host else {"component": component}
        self._queue: asyncio.Queue[_Record] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._written: OrderedDict[_Record, _Written] = OrderedDict()
        self._series: OrderedDict[tuple[object, ...], _Series] = OrderedDict()
        self._allowances: OrderedDict[tuple[str, str], _Allowance] = OrderedDict()
        self._last_stamp = 0
        self._dropped = 0  # since the queue was last empty

    def record(
        self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "", component: str = ""
    ) -> None:
        """An event of `type` Normal or Warning about the object, or about the part of it at `field_path`.

        `component` is the part that tells, where the recorder is one for several.
        """
        regarding = {
            "kind": obj.get("kind", ""),
            "namespace": namespace_of(obj),
            "name": name_of(obj),
            "uid": uid_of(obj),
            "apiVersion": obj.get("apiVersion", ""),
            "fieldPath": field_path,
        }
        component = component or self._component
        if not self._allow((component, regarding["uid"] or regarding["name"])):
            return
        said = tuple((key, value) for key, value in regarding.items() if value)
        resource_version = obj["metadata"].get("resourceVersion", "")
        text = message[:MAX_MESSAGE_CHARACTERS]
        if self._is_one_too_many((said, type, reason, component), text):
            text, message = "", COMBINED + message
        told = message[:MAX_MESSAGE_CHARACTERS]
        try:
            self._queue.put_nowait(_Record(said, type, reason, component, text, told, resource_version))
        except asyncio.QueueFull:
            self._dropped += 1
            if self._dropped == 1:
                what = (regarding["kind"], regarding["name"], message)
                log.warning("events come faster than they are written; the first to be dropped: %s %s: %s", *what)

    def _is_one_too_many(self, sort: tuple[object, ...], message: str) -> bool:
        series = self._series.pop(sort, None) or _Series()
        self._series[sort] = series  # as the most recent one
        if len(self._series) > MAX_REMEMBERED:
            self._series.popitem(last=False)
        return series.is_full(message, self._clock.monotonic())

    def _allow(self, subject: tuple[str, str]) -> bool:
        now = self._clock.monotonic()
        allowance = self._allowances.pop(subject, None) or _Allowance(BURST, now)
        self._allowances[subject] = allowance  # as the most recent one
        if len(self._allowances) > MAX_REMEMBERED:
            self._allowances.popitem(last=False)
        return allowance.take(now)

    async def run(self) -> None:
        """Writes what is recorded, until cancelled."""
        while True:
            record = await self._queue.get()
            await self._write(record)
            if self._dropped and self._queue.empty():
                log.warning("%d events were dropped", self._dropped)
                self._dropped = 0

    async def _write(self, record: _Record) -> None:
        for failures in range(1, TRIES + 1):
            try:
                await self._write_once(record)
                return
            except TransportError as error:
                log.debug("cannot write an event yet: %s", error)
                await self._clock.sleep(BACKOFF.delay(failures))
            except APIError as error:
                # E.g. the namespace is being deleted: the event has no place.
                log.debug("an event was refused: %s", error)
                return

    async def _write_once(self, record: _Record) -> None:
        now = self._clock.monotonic()
        written = self._written.get(record)
        if written is not None and now - written.last_seconds <= REPEAT_SECONDS:
            change: Object = {"count": written.count + 1, "lastTimestamp": rfc3339(self._clock.now())}
            if not record.text:
                change["message"] = record.message
            try:
                await self._client.patch("/v1/Event", written.name, change, written.namespace)
                written.count += 1
                written.last_seconds = now
                return
            except APIError as error:
                if error.reason != "NotFound":  # it has run out: begin anew
                    raise
        event = self._event(record)
        await self._client.create(event)
        self._written.pop(record, None)
        self._written[record] = _Written(name_of(event), namespace_of(event), 1, now)
        if len(self._written) > MAX_REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, record: _Record) -> Object:
        regarding = dict(record.regarding)
        now = self._clock.now()
        moment = rfc3339(now)
        # Two events of one moment (virtual time stands still) must not have one name.
        self._last_stamp = max(int(now.timestamp() * 1e9), self._last_stamp + 1)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{regarding['name']}.{self._last_stamp:x}",
                "namespace": regarding.get("namespace", "default"),
            },
            "involvedObject": {**regarding, "resourceVersion": record.resource_version},
            "type": record.type,
            "reason": record.reason,
            "message": record.message,
            "source": {**self._source, "component": record.component},
            "reportingComponent": record.component,
            "reportingInstance": self._host,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "eventTime": None,
        }
