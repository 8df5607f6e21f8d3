"""API priority and fairness: which request waits for which, so that no client can take the whole server.

    request -> flow schema (matching) -> priority level -> its seats, or one of its queues (queues) -> handler

Every request belongs to the FlowSchema of the lowest precedence that fits it, and so to a *priority level*. A level has
*seats*: its share of all the requests that the server answers at a time. When they are taken, a request waits in the
queue of its *flow* (a user, or a namespace), or is refused with 429 where the level has no queues or they are full.

A request takes one seat, however much it reads. Levels don't lend seats to each other: the lendable and borrowing
percentages are kept in the objects and have no effect.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

from kaa.api.objects import Object, name_of
from kaa.lib.clock import Clock, rfc3339
from kaa.server.bootstrap.flow_control import LEVEL, SCHEMA, mandatory
from kaa.server.chain import Reader, Writer
from kaa.server.flow_control.matching import FlowSchema, first_that_fits, flow_of, in_order, level_of, with_dangling
from kaa.server.flow_control.queues import Level, Queuing
from kaa.server.request import User
from kaa.server.request_info import RequestInfo

CLASSIFICATIONS = 4096
"""Kinds of requests whose schema is remembered; all are forgotten when there are more, or a schema changes."""

SETTINGS = {"Exempt": "exempt", "Limited": "limited"}
"""The types of levels, and the field of each type's settings. A level of no type is none."""

QUEUING_DEFAULTS = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}

METRICS: tuple[tuple[str, str, Callable[[Level], int]], ...] = (
    ("nominal_limit_seats", "Seats that a priority level has.", lambda level: level.limit or 0),
    ("current_executing_requests", "Requests that have a seat.", lambda level: level.executing),
    ("current_inqueue_requests", "Requests that wait for one.", lambda level: level.waiting),
)


@dataclass(frozen=True, slots=True)
class Classified:
    """Where a request belongs. `headers` tell its client."""

    schema: FlowSchema
    level: Level
    flow: str
    headers: dict[str, str]


class FlowControl:
    """`configure` after either kind has changed."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock, seats: int) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._seats = seats
        self._seed = clock.random.randbytes(16)
        self._levels: dict[str, Level] = {}
        self._schemas: list[FlowSchema] = []
        self._classified: dict[tuple[object, ...], Classified] = {}
        self.configure()

    def classify(self, user: User, path: str, info: RequestInfo) -> Classified:
        place = info.namespace if info.is_resource else path
        sort = (user.name, user.groups, info.verb, info.group, info.plural, info.subresource, place)
        known = self._classified.get(sort)
        if known is None:
            if len(self._classified) >= CLASSIFICATIONS:
                self._classified.clear()
            known = self._classified[sort] = self._classify(user, path, info)
        return known

    def _classify(self, user: User, path: str, info: RequestInfo) -> Classified:
        schema = first_that_fits(self._schemas, user, path, info)
        level = self._levels[schema.level]
        headers = {}
        if schema.uid and level.uid:
            headers = {
                "x-kubernetes-pf-flowschema-uid": schema.uid,
                "x-kubernetes-pf-prioritylevel-uid": level.uid,
            }
        return Classified(schema, level, f"{schema.name}/{flow_of(schema, user, info)}", headers)

    def configure(self) -> None:
        """Takes over what the objects say. Requests that have a seat or wait keep it."""
        levels = [obj for obj in _with_mandatory(LEVEL, self._reader.list(LEVEL)) if _type(obj) in SETTINGS]
        total = max(1, sum(_shares(obj) for obj in levels))
        before, self._levels = self._levels, {}
        for obj in levels:
            level = before.get(name_of(obj)) or Level(self._clock, self._seed)
            level.uid = obj["metadata"].get("uid", "")
            if _type(obj) == "Exempt":
                level.configure(None, None)
            else:
                # Nobody would ever answer what has no seat at all.
                level.configure(max(1, ceil(self._seats * _shares(obj) / total)), _queuing(obj))
            self._levels[name_of(obj)] = level
        schemas = _with_mandatory(SCHEMA, self._reader.list(SCHEMA))
        self._schemas = [schema for schema in in_order(schemas) if schema.level in self._levels]
        self._classified.clear()

    def metrics(self) -> Iterator[str]:
        """Lines for /metrics. An exempt level has a limit of 0, as upstream: none of the shares is its own."""
        for name, help_, value in METRICS:
            yield f"# HELP apiserver_flowcontrol_{name} {help_}"
            yield f"# TYPE apiserver_flowcontrol_{name} gauge"
            for level in sorted(self._levels):
                yield f'apiserver_flowcontrol_{name}{{priority_level="{level}"}} {value(self._levels[level])}'

    async def tell_dangling(self) -> None:
        """Writes into each schema's status whether its level exists. Raises what the writer raises."""
        for obj in self._reader.list(SCHEMA):
            exists = self._reader.get(LEVEL, level_of(obj)) is not None
            told = with_dangling(obj, exists, rfc3339(self._clock.now()))
            if told is not obj:
                await self._writer.update(SCHEMA, told, "status")


def _with_mandatory(kind: str, objects: list[Object]) -> list[Object]:
    """The mandatory ones always have the spec that they must have, whatever is stored: every request needs a place."""
    named = {name_of(obj): obj for obj in objects}
    for obj in mandatory(kind):
        named[name_of(obj)] = {**named.get(name_of(obj), obj), "spec": obj["spec"]}
    return list(named.values())


def _type(level: Object) -> str:
    type_: str = (level.get("spec") or {}).get("type", "")
    return type_


def _shares(level: Object) -> int:
    settings = level["spec"].get(SETTINGS[_type(level)]) or {}
    return max(0, settings.get("nominalConcurrencyShares") or 0)


def _queuing(level: Object) -> Queuing | None:
    response = (level["spec"].get("limited") or {}).get("limitResponse") or {}
    if response.get("type") != "Queue":
        return None
    queuing = response.get("queuing") or {}
    queues, hand_size, length_limit = (queuing.get(field) or value for field, value in QUEUING_DEFAULTS.items())
    return Queuing(max(1, queues), max(1, hand_size), max(1, length_limit))
