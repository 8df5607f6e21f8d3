"""How priority levels lend seats to each other: the arithmetic. Pure.

    nominal   the level's share of the server's seats, by its nominalConcurrencyShares
    minimum   what it never lends: nominal less lendablePercent of it
    maximum   nominal and borrowingLimitPercent of it more; without that limit, as much as there is
    current   what it has until the next adjustment: between the two, and all together what is nominal together

Every ten seconds the current limits are set anew by what was asked for. A level gets at once what it has asked for up
to its nominal limit. The rest goes by each level's *target*, its smoothed demand: all get the same multiple of it, the
*fair fraction*, but for those whom a bound stops. Smoothed demand rises at once and falls slowly: seats that were
needed a minute ago are not all lent away. Numbers and rules are those of KEP-1040, "Dispatching" and borrowing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from kaa.server.flow_control.demand import Observation

SMOOTHING = 0.977
"""How much of the smoothed demand stays from one adjustment to the next, where the demand is lower."""

LEAST_TARGET = 0.001
"""Of a level that nobody asks. It gets its part of what is over, however small."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a level's settings say, in seats."""

    nominal: int
    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a level may have, and has at least; its part of the rest is in proportion to `target`."""

    low: float
    high: float
    target: float


def limits_of(seats: int, shares: int, total_shares: int, lendable_percent: int, limit_percent: int | None) -> Limits:
    """Of a level with `shares` of a server's `seats`. `limit_percent` None: it may borrow what there is."""
    nominal = ceil(seats * shares / max(1, total_shares))
    lendable = min(nominal, max(0, _rounded(nominal * lendable_percent / 100)))
    borrowing = seats if limit_percent is None else max(0, _rounded(nominal * limit_percent / 100))
    return Limits(nominal, nominal - lendable, nominal + borrowing)


def smoothed(before: float, seen: Observation) -> float:
    envelope = seen.average + seen.deviation
    return max(envelope, SMOOTHING * before + (1 - SMOOTHING) * envelope)


def claim_of(limits: Limits, high_watermark: int, smoothed_demand: float) -> Claim:
    low = max(limits.minimum, min(limits.nominal, high_watermark))
    return Claim(low, limits.maximum, max(low, smoothed_demand, LEAST_TARGET))


def share_out(total: int, claims: Sequence[Claim]) -> tuple[list[int], float]:
    """Each claim's seats, in whole ones, and the fair fraction.

    Before they are rounded they add up to `total`, as far as the claims' bounds allow.
    """
    # Between two of these fractions what is given grows evenly: whom a bound stops changes only at them.
    stops = sorted({bound / claim.target for claim in claims for bound in (claim.low, claim.high)}) or [0.0]
    fraction, given = stops[0], sum(_part(claim, stops[0]) for claim in claims)
    for stop in stops:
        if given >= total:
            break
        more = sum(_part(claim, stop) for claim in claims)
        if more > total:
            fraction += (stop - fraction) * (total - given) / (more - given)
            break
        fraction, given = stop, more
    return [_rounded(_part(claim, fraction)) for claim in claims], fraction


def _part(claim: Claim, fraction: float) -> float:
    return max(claim.low, min(claim.high, claim.target * fraction))


def _rounded(number: float) -> int:
    """A half goes up, as in Go; Python's own goes to the even one."""
    return floor(number + 0.5)
