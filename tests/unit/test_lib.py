"""Clocks and back-off: what every component waits by."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.clock import (
    SUFFIX_ALPHABET,
    VirtualClock,
    VirtualEventLoop,
    parse_rfc3339,
    random_suffix,
    rfc3339,
    rfc3339_micro,
)


@given(st.integers(0, 10_000), st.floats(0.001, 10), st.floats(10, 1000))
def test_back_off_grows_and_is_bounded(failures: int, initial: float, limit: float) -> None:
    """However long something has been failing, the wait never overflows and never exceeds its limit."""
    backoff = Backoff(initial, limit)
    assert 0 <= backoff.delay(failures) <= limit
    assert backoff.delay(failures) <= backoff.delay(failures + 1)
    assert backoff.delay(0) == 0


def test_a_success_forgets_the_failures() -> None:
    """The next failure is the first again."""
    table: BackoffTable[str] = BackoffTable(Backoff(1, 60))
    assert [table.failed("a") for _ in range(4)] == [1, 2, 4, 8]
    table.succeeded("a")
    assert table.failed("a") == 1
    assert table.failures == {"a": 1}


def test_virtual_time_stands_still_while_anything_can_run() -> None:
    """A day passes in no time, in the order of the timers, and never while work is left."""
    loop = VirtualEventLoop()
    clock = VirtualClock(seed=7)
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        for _ in range(100):
            await asyncio.sleep(0)  # work, not waiting: the time must not move
        seen.append((name, clock.monotonic()))

    async def scenario() -> None:
        await asyncio.gather(sleeper("day", 86400), sleeper("hour", 3600), sleeper("minute", 60))

    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()
    assert seen == [("minute", 60), ("hour", 3600), ("day", 86400)]


def test_one_seed_gives_one_history() -> None:
    """Uuids and suffixes are drawn from the seed alone."""
    one, two, other = VirtualClock(seed=1), VirtualClock(seed=1), VirtualClock(seed=2)
    assert [one.uuid() for _ in range(3)] == [two.uuid() for _ in range(3)] != [other.uuid() for _ in range(3)]
    suffix = random_suffix(random.Random(1))
    assert len(suffix) == 5
    assert set(suffix) <= set(SUFFIX_ALPHABET)


@given(st.datetimes(timezones=st.timezones()))
def test_times_survive_the_wire(moment: object) -> None:
    """metav1.Time has seconds, MicroTime microseconds; both come back as the same moment in UTC."""
    from datetime import UTC, datetime

    assert isinstance(moment, datetime)
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        return
    if utc.year < 1000:
        return  # strftime does not pad such years; Kubernetes has none
    assert parse_rfc3339(rfc3339(moment)) == utc.replace(microsecond=0)
    assert parse_rfc3339(rfc3339_micro(moment)) == utc
