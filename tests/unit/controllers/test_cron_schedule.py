"""When schedules are due: crontab's rules, and what time zones do to a day."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.controllers.cron_schedule import Times, parse_schedule, times_until

ZONE = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")


def at(text: str, zone: ZoneInfo = ZONE) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("schedule", "moment", "expected"),
    [
        ("* * * * *", "2030-01-01T00:00:30", "2030-01-01T00:01"),
        ("*/20 * * * *", "2030-01-01T00:40", "2030-01-01T01:00"),
        ("5/20 * * * *", "2030-01-01T00:00", "2030-01-01T00:05"),
        ("0 9-17/4 * * *", "2030-01-01T14:00", "2030-01-01T17:00"),
        ("0 0 1 jan *", "2030-01-01T00:00", "2031-01-01T00:00"),
        ("0 0 * * mon-fri", "2030-01-04T00:00", "2030-01-07T00:00"),
        ("0 0 13 * fri", "2030-01-01T00:00", "2030-01-04T00:00"),  # either day
        ("0 0 13 * fri", "2030-01-11T00:00", "2030-01-13T00:00"),
        ("0 0 29 2 *", "2030-01-01T00:00", "2032-02-29T00:00"),
        ("@weekly", "2030-01-01T00:00", "2030-01-06T00:00"),
        ("@every 1h30m", "2030-01-01T00:00", "2030-01-01T01:30"),
    ],
)
def test_the_next_time(schedule: str, moment: str, expected: str) -> None:
    """Each field's notation, and that the result is later than the moment."""
    assert parse_schedule(schedule, ZONE).after(at(moment)) == at(expected)


def test_a_schedule_with_no_time_has_none() -> None:
    """30 February is a valid text."""
    assert parse_schedule("0 0 30 2 *", ZONE).after(at("2030-01-01T00:00")) is None
    assert parse_schedule("0 0 30 2 *", ZONE).latest(at("2030-01-01T00:00"), at("2031-01-01T00:00")) is None


def test_an_hour_that_is_leapt_over_is_not_due() -> None:
    """On 10 March 2030 New York goes from 2:00 to 3:00: the next 2:30 is a day later."""
    found = parse_schedule("30 2 * * *", NEW_YORK).after(at("2030-03-09T12:00", NEW_YORK))
    assert found == at("2030-03-11T02:30", NEW_YORK)


def test_a_repeated_hour_is_due_twice() -> None:
    """On 3 November 2030 New York has 1:30 twice, an hour apart."""
    schedule = parse_schedule("30 1 * * *", NEW_YORK)
    first = schedule.after(at("2030-11-02T12:00", NEW_YORK))
    assert first is not None
    assert schedule.after(first) == first + timedelta(hours=1)


@given(
    st.sampled_from(["* * * * *", "*/7 3 * * *", "0 0 1 * *", "* * 1 * *", "15 4 * 2 mon"]),
    st.integers(0, 60 * 24 * 45),
)
def test_the_latest_time_is_the_one_with_none_after_it(schedule: str, minutes: int) -> None:
    """However far apart the times are: nothing lies between the latest one and now."""
    parsed, since = parse_schedule(schedule, ZONE), at("2030-01-01T00:00")
    now = since + timedelta(minutes=minutes)
    latest = parsed.latest(since, now)
    upcoming = parsed.after(since if latest is None else latest)
    assert upcoming is not None
    assert upcoming > now
    assert latest is None or since < latest <= now


def test_counting_ends_beyond_the_limit() -> None:
    """A schedule that was off for a year must not be counted through."""
    schedule = parse_schedule("* * * * *", ZONE)
    since, year_later = at("2030-01-01T00:00"), at("2031-01-01T00:00")
    expected = Times(year_later, year_later + timedelta(minutes=1), are_more=True)
    assert times_until(year_later, schedule, since, 100) == expected


@pytest.mark.parametrize("minutes", [0, 1, 99, 100])
@pytest.mark.parametrize("schedule", ["* * * * *", "@every 1m"])
def test_the_times_around_now(schedule: str, minutes: int) -> None:
    """Up to the limit nothing is too many, and the next time follows from the last one, not from now."""
    since = at("2030-01-01T00:00")
    latest = since + timedelta(minutes=minutes)
    times = times_until(latest + timedelta(seconds=20), parse_schedule(schedule, ZONE), since, 100)
    assert times == Times(latest if minutes else None, latest + timedelta(minutes=1))


@pytest.mark.parametrize("text", ["* * * *", "61 * * * *", "@never", "@every soon", "a * * * *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    """With a sentence that ends up in an event."""
    with pytest.raises(ValueError, match=r".+"):
        parse_schedule(text, ZONE)
