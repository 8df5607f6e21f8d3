"""API priority and fairness: which request waits for which, so that no client can take the whole server.

    request -> flow schema (matching) -> priority level -> its seats, or one of its queues (queues) -> handler

Every request belongs to the FlowSchema of the lowest precedence that fits it, and so to a *priority level*. A level has
*seats*: its share of all the requests that the server answers at a time. When they are taken, a request waits in the
queue of its *flow* (a user, or a namespace), or is refused with 429 where the level has no queues or they are full.

A request takes one seat; one that lists takes more of them, by what it reads (work). Levels lend seats to each other:
every ten seconds what each has follows what it was asked for (demand, borrowing). Nothing limits an exempt level, but
what it uses of its own share is not lent either.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from kaa.api.objects import Object, name_of
from kaa.lib.clock import Clock, rfc3339
from kaa.server.bootstrap.flow_control import LEVEL, SCHEMA, mandatory
from kaa.server.chain import Reader, Writer
from kaa.server.flow_control.borrowing import Limits, claim_of, limits_of, share_out, smoothed
from kaa.server.flow_control.demand import Observation
from kaa.server.flow_control.matching import FlowSchema, first_that_fits, flow_of, in_order, level_of, with_dangling
from kaa.server.flow_control.queues import Level, Queuing
from kaa.server.flow_control.work import may_be_wide, most_seats, seats_of_list
from kaa.server.request import Request, User
from kaa.server.request_info import RequestInfo

CLASSIFICATIONS = 4096
"""Kinds of requests whose schema is remembered; all are forgotten when there are more, or a schema changes."""

SETTINGS = {"Exempt": "exempt", "Limited": "limited"}
"""The types of levels, and the field of each type's settings. A level of no type is none."""

QUEUING_DEFAULTS = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}

ADJUSTMENT_SECONDS = 10.0
"""How often levels lend anew, as upstream."""

NOTHING_SEEN = Observation()


@dataclass(slots=True)
class Standing:
    """A level and what it lends or has borrowed. `current` is of an exempt level as well, which it does not limit."""

    level: Level
    limits: Limits
    current: int
    exempt: bool
    seen: Observation = NOTHING_SEEN
    smoothed: float = 0.0
    target: float = 0.0


METRICS: tuple[tuple[str, str, Callable[[Standing], float]], ...] = (
    ("nominal_limit_seats", "Seats that a priority level has by its share.", lambda of: of.limits.nominal),
    ("lower_limit_seats", "Seats that it never lends.", lambda of: of.limits.minimum),
    ("upper_limit_seats", "Seats that it has at most, with all that it may borrow.", lambda of: of.limits.maximum),
    ("current_limit_seats", "Seats that it has now.", lambda of: of.current),
    ("current_executing_requests", "Requests that have a seat.", lambda of: of.level.executing),
    ("current_executing_seats", "Seats that they have.", lambda of: of.level.executing_seats),
    ("current_inqueue_requests", "Requests that wait for one.", lambda of: of.level.waiting),
    ("demand_seats_high_watermark", "Most seats asked for, in the last period.", lambda of: of.seen.high_watermark),
    ("demand_seats_average", "Seats asked for on average, in the last period.", lambda of: of.seen.average),
    ("demand_seats_stdev", "Standard deviation of that.", lambda of: of.seen.deviation),
    ("demand_seats_smoothed", "Seats asked for, smoothed over the periods.", lambda of: of.smoothed),
    ("target_seats", "Seats in proportion to which levels share.", lambda of: of.target),
)


@dataclass(frozen=True, slots=True)
class Classified:
    """Where a request belongs, and the most seats that one takes there. `headers` tell its client."""

    schema: FlowSchema
    level: Level
    most_seats: int
    flow: str
    headers: dict[str, str]


class FlowControl:
    """`configure` after either kind has changed."""

    def __init__(
        self, reader: Reader, writer: Writer, clock: Clock, seats: int, stored: Callable[[RequestInfo], int]
    ) -> None:
        """`stored` counts the objects of the kind that a request is for; 0 where there is no such kind."""
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._seats = seats
        self._stored = stored
        self._seed = clock.random.randbytes(16)
        self._levels: dict[str, Standing] = {}
        self._fair_fraction = 0.0
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
        standing = self._levels[schema.level]
        level = standing.level
        headers = {}
        if schema.uid and level.uid:
            headers = {
                "x-kubernetes-pf-flowschema-uid": schema.uid,
                "x-kubernetes-pf-prioritylevel-uid": level.uid,
            }
        flow = f"{schema.name}/{flow_of(schema, user, info)}"
        return Classified(schema, level, most_seats(standing.limits.nominal), flow, headers)

    def width(self, request: Request, info: RequestInfo, classified: Classified) -> int:
        """How many seats the request takes."""
        if not may_be_wide(request, info):
            return 1
        return seats_of_list(request, info, self._stored(info), classified.most_seats)

    def configure(self) -> None:
        """Takes over what the objects say. Requests that have a seat or wait keep it.

        Where the limits are others than before nobody has borrowed anything, until the next adjustment.
        """
        levels = [obj for obj in _with_mandatory(LEVEL, self._reader.list(LEVEL)) if _type(obj) in SETTINGS]
        limits = _limits(levels, self._seats)
        before, self._levels = self._levels, {}
        same = limits == {name: standing.limits for name, standing in before.items()}
        for obj in levels:
            name = name_of(obj)
            nominal = limits[name].nominal
            exempt = _type(obj) == "Exempt"
            known = before.get(name) or Standing(Level(self._clock, self._seed), limits[name], nominal, exempt)
            current = known.current if same else nominal
            known.level.uid = obj["metadata"].get("uid", "")
            known.level.configure(None if exempt else current, None if exempt else _queuing(obj))
            self._levels[name] = replace(known, limits=limits[name], current=current, exempt=exempt)
        schemas = _with_mandatory(SCHEMA, self._reader.list(SCHEMA))
        self._schemas = [schema for schema in in_order(schemas) if schema.level in self._levels]
        self._classified.clear()

    def adjust(self) -> None:
        """Shares the seats out anew, by what was asked for since the last time."""
        now = self._clock.monotonic()
        claims = []
        for standing in self._levels.values():
            standing.seen = standing.level.demand.observe(now)
            standing.smoothed = smoothed(standing.smoothed, standing.seen)
            claims.append(claim_of(standing.limits, standing.seen.high_watermark, standing.smoothed))
        total = sum(standing.limits.nominal for standing in self._levels.values())
        given, self._fair_fraction = share_out(total, claims)
        for standing, claim, seats in zip(self._levels.values(), claims, given, strict=True):
            standing.target, standing.current = claim.target, seats
            if not standing.exempt:
                standing.level.set_limit(seats)

    def metrics(self) -> Iterator[str]:
        """Lines for /metrics."""
        for name, help_, value in METRICS:
            yield from _gauge(name, help_)
            for level in sorted(self._levels):
                yield f'apiserver_flowcontrol_{name}{{priority_level="{level}"}} {value(self._levels[level])}'
        yield from _gauge("seat_fair_frac", "What part of its target a priority level gets that no bound stops.")
        yield f"apiserver_flowcontrol_seat_fair_frac {self._fair_fraction}"

    async def tell_dangling(self) -> None:
        """Writes into each schema's status whether its level exists. Raises what the writer raises."""
        for obj in self._reader.list(SCHEMA):
            exists = self._reader.get(LEVEL, level_of(obj)) is not None
            told = with_dangling(obj, exists, rfc3339(self._clock.now()))
            if told is not obj:
                await self._writer.update(SCHEMA, told, "status")


def _gauge(name: str, help_: str) -> Iterator[str]:
    yield f"# HELP apiserver_flowcontrol_{name} {help_}"
    yield f"# TYPE apiserver_flowcontrol_{name} gauge"


def _with_mandatory(kind: str, objects: list[Object]) -> list[Object]:
    """The mandatory ones always have the spec that they must have, whatever is stored: every request needs a place.

    Only what an exempt level has and lends is free: its settings limit nobody who belongs there.
    """
    named = {name_of(obj): obj for obj in objects}
    for obj in mandatory(kind):
        stored = named.get(name_of(obj), obj)
        free = (stored.get("spec") or {}).get("exempt") if "exempt" in obj["spec"] else None
        spec = {**obj["spec"], "exempt": free} if free else obj["spec"]
        named[name_of(obj)] = {**stored, "spec": spec}
    return list(named.values())


def _type(level: Object) -> str:
    type_: str = (level.get("spec") or {}).get("type", "")
    return type_


def _limits(levels: list[Object], seats: int) -> dict[str, Limits]:
    """Each level's, by its name."""
    settings = {name_of(obj): obj["spec"].get(SETTINGS[_type(obj)]) or {} for obj in levels}
    shares = {name: max(0, of.get("nominalConcurrencyShares") or 0) for name, of in settings.items()}
    total = sum(shares.values())
    return {
        name: limits_of(seats, shares[name], total, of.get("lendablePercent") or 0, of.get("borrowingLimitPercent"))
        for name, of in settings.items()
    }


def _queuing(level: Object) -> Queuing | None:
    response = (level["spec"].get("limited") or {}).get("limitResponse") or {}
    if response.get("type") != "Queue":
        return None
    queuing = response.get("queuing") or {}
    queues, hand_size, length_limit = (queuing.get(field) or value for field, value in QUEUING_DEFAULTS.items())
    return Queuing(max(1, queues), max(1, hand_size), max(1, length_limit))
