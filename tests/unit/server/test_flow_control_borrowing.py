"""What levels lend, what is asked of them, and how wide requests are: the arithmetic of flow control."""

import random

import pytest

from kaa.server.bootstrap.flow_control import SUGGESTED_LEVELS
from kaa.server.flow_control.borrowing import SMOOTHING, Claim, Limits, claim_of, limits_of, share_out, smoothed
from kaa.server.flow_control.demand import Demand, Observation
from kaa.server.flow_control.work import may_be_wide, most_seats, seats_of_list
from kaa.server.request import Request
from kaa.server.request_info import request_info

PODS = "/api/v1/pods"


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("system", Limits(74, 50, 674)),
        ("leader-election", Limits(25, 25, 625)),
        ("workload-low", Limits(245, 24, 845)),
        ("global-default", Limits(49, 24, 649)),
    ],
)
def test_upstreams_levels_have_upstreams_limits(name, limits) -> None:
    """600 seats in 245 shares; a half of a lendable seat is a whole one, as Go rounds."""
    settings = SUGGESTED_LEVELS[name]["limited"]
    assert limits_of(600, settings["nominalConcurrencyShares"], 245, settings["lendablePercent"], None) == limits


def test_limits_hold_what_the_percentages_say() -> None:
    """Lending all leaves nothing, a borrowing limit of 0 forbids it, and one may be more than all of the nominal."""
    assert limits_of(100, 1, 10, 100, 0) == Limits(10, 0, 10)
    assert limits_of(100, 1, 10, 0, 250) == Limits(10, 10, 35)
    assert limits_of(100, 0, 0, 50, None) == Limits(0, 0, 100)


def test_a_level_claims_what_it_asked_for_up_to_its_nominal_limit() -> None:
    """More than that is only a target; less than the minimum is not asked of others either."""
    limits = Limits(20, 5, 40)
    assert claim_of(limits, 12, 3.0) == Claim(12, 40, 12)
    assert claim_of(limits, 90, 60.0) == Claim(20, 40, 60.0)
    assert claim_of(limits, 0, 0.0) == Claim(5, 40, 5)


def test_smoothed_demand_rises_at_once_and_falls_slowly() -> None:
    """Average and deviation are its envelope; what was needed a minute ago is still mostly there."""
    risen = smoothed(1.0, Observation(30, 10.0, 5.0))
    assert risen == 15.0
    assert smoothed(risen, Observation()) == pytest.approx(15.0 * SMOOTHING)


def test_seats_are_shared_within_all_bounds_and_add_up() -> None:
    """Whatever is asked for: each level between its bounds, all together what there is, and nobody who is free to
    move gets another part of its target than the rest."""
    rng = random.Random(7)
    for _ in range(2000):
        total_shares = sum(shares := [rng.randint(0, 100) for _ in range(rng.randint(1, 9))])
        levels = [
            limits_of(rng.choice((10, 600)), share, total_shares, rng.randint(0, 100), rng.choice((None, 0, 50, 300)))
            for share in shares
        ]
        claims = [claim_of(limits, rng.choice((0, rng.randint(0, 900))), rng.uniform(0, 600)) for limits in levels]
        total = sum(limits.nominal for limits in levels)
        given, fraction = share_out(total, claims)
        assert abs(sum(given) - total) <= len(levels) / 2 + 1e-6
        for limits, claim, seats in zip(levels, claims, given, strict=True):
            assert limits.minimum <= claim.low <= seats <= claim.high == limits.maximum
            if claim.low < seats < claim.high:
                assert seats == pytest.approx(claim.target * fraction, abs=0.5 + 1e-6)


def test_a_busy_level_gets_what_idle_ones_lend() -> None:
    """And no more than its borrowing limit, whose rest goes back to the others."""
    idle, busy = Limits(60, 10, 160), Limits(40, 20, 60)
    given, _ = share_out(100, [claim_of(idle, 0, 0.0), claim_of(busy, 90, 90.0)])
    assert given == [40, 60]
    given, _ = share_out(100, [claim_of(idle, 60, 60.0), claim_of(busy, 90, 90.0)])
    assert given == [60, 40]


def test_demand_is_averaged_over_time() -> None:
    """Its peak, average and deviation of one period; the next one begins with what is asked for then."""
    demand = Demand()
    demand.observe(100.0)
    demand.add(4, 105.0)
    demand.add(2, 106.0)
    demand.add(-2, 106.0)
    assert demand.observe(110.0) == Observation(6, 2.0, 2.0)
    assert demand.observe(120.0) == Observation(4, 4.0, 0.0)
    demand.add(-4, 120.0)
    assert demand.observe(120.0) == Observation(4, 0.0, 0.0)


@pytest.mark.parametrize(
    ("query", "seats"),
    [
        ({}, 4),
        ({"limit": "50"}, 4),
        ({"limit": "50", "resourceVersion": "0"}, 4),
        ({"resourceVersion": "7"}, 4),
        ({"limit": "50", "resourceVersion": "7"}, 1),
        ({"limit": "50", "resourceVersion": "7", "resourceVersionMatch": "NotOlderThan"}, 4),
        ({"limit": "120", "resourceVersion": "7", "resourceVersionMatch": "Exact"}, 3),
        ({"resourceVersion": "7", "resourceVersionMatch": "Exact"}, 7),
        ({"limit": "120", "continue": "x"}, 3),
        ({"limit": "120", "continue": "x", "labelSelector": "a=b"}, 5),
        ({"continue": "x", "fieldSelector": "spec.nodeName=a"}, 7),
        ({"fieldSelector": "metadata.name=a"}, 1),
        ({"limit": "many"}, 8),
        ({"watch": "1", "sendInitialEvents": "true", "limit": "1"}, 4),
    ],
)
def test_a_list_takes_seats_by_what_it_reads(query, seats) -> None:
    """Of 350 objects: all for the present, a page twice for the past; all of the level's most for what cannot be."""
    request = Request("GET", PODS, list(query.items()))
    info = request_info(request)
    assert may_be_wide(request, info)
    assert seats_of_list(request, info, 350, 8) == seats


def test_a_list_takes_a_seat_and_not_all() -> None:
    """An empty kind costs as much as a read; a huge one is bounded, by the level as well."""
    request = Request("GET", PODS)
    info = request_info(request)
    assert seats_of_list(request, info, 0, 10) == 1
    assert seats_of_list(request, info, 10**6, 10) == 10
    assert [most_seats(nominal) for nominal in (0, 1, 20, 49, 245)] == [10, 1, 3, 8, 10]


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", PODS, {"watch": "1"}),
        ("GET", "/api/v1/namespaces/a/pods/x", {}),
        ("POST", "/api/v1/namespaces/a/pods", {}),
        ("DELETE", "/api/v1/namespaces/a/pods", {}),
        ("GET", "/metrics", {}),
    ],
)
def test_what_does_not_list_takes_one_seat(method, path, query) -> None:
    """Nothing is counted for it."""
    request = Request(method, path, list(query.items()))
    assert not may_be_wide(request, request_info(request))
