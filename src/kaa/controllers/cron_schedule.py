"""When a CronJob is due: crontab's five fields over the wall clock of a time zone.

A moment matches when minute, hour and month do, and the day does: by its number and its weekday if one of the two
fields is `*`, else by either, as crontab(5) has it. Times that the wall clock leaps over are not due; an hour that it
repeats is due twice. `@every 90m` has no wall clock: it counts from the last time.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from kaa.api.validation.schedule import FIELDS, schedule_problem

DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EVERY = "@every "
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

MAX_SCHEDULES = 256
"""Parsed schedules that are kept: a CronJob is looked at again and again."""

YEARS_AHEAD = 5
"""A schedule with no time within that (30 February) has none at all."""


@dataclass(frozen=True, slots=True)
class Interval:
    """`@every`: at least a second, and whole seconds."""

    seconds: int

    def after(self, moment: datetime) -> datetime | None:
        return moment.replace(microsecond=0) + timedelta(seconds=self.seconds)

    def latest(self, since: datetime, now: datetime) -> datetime | None:
        times = int((now - since).total_seconds()) // self.seconds
        return since + timedelta(seconds=times * self.seconds) if times > 0 else None


@dataclass(frozen=True, slots=True)
class Calendar:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either_day: bool  # both day fields say something: one that matches is enough
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`, in UTC; None if there is none for years."""
        time = (moment.astimezone(UTC) + timedelta(minutes=1)).replace(second=0, microsecond=0)
        end = time + timedelta(days=366 * YEARS_AHEAD)
        while time < end:
            wall = time.astimezone(self.zone)
            if wall.month not in self.months:
                time = self._midnight(wall.year + wall.month // 12, wall.month % 12 + 1, 1)
            elif not self._is_day(wall):
                tomorrow = wall.date() + timedelta(days=1)
                time = self._midnight(tomorrow.year, tomorrow.month, tomorrow.day)
            elif wall.hour not in self.hours:
                time += timedelta(minutes=60 - wall.minute)
            elif wall.minute not in self.minutes:
                time += timedelta(minutes=self._minutes_to_next(wall.minute))
            else:
                return time
        return None

    def latest(self, since: datetime, now: datetime) -> datetime | None:
        """The last time after `since` that is not later than `now`: looked for in ever longer spans before now."""
        span = timedelta(minutes=1)
        while True:
            start = max(since, now - span)
            time = self.after(start)
            if time is not None and time <= now:
                return self._last_before(time, now)
            if start == since:
                return None
            span *= 2

    def _last_before(self, time: datetime, now: datetime) -> datetime:
        while (following := self.after(time)) is not None and following <= now:
            time = following
        return time

    def _minutes_to_next(self, minute: int) -> int:
        """At most to the end of the hour."""
        return next((later for later in range(minute + 1, 60) if later in self.minutes), 60) - minute

    def _is_day(self, wall: datetime) -> bool:
        by_number, by_weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return by_number or by_weekday if self.either_day else by_number and by_weekday

    def _midnight(self, year: int, month: int, day: int) -> datetime:
        return datetime(year, month, day, tzinfo=self.zone).astimezone(UTC)


Schedule: TypeAlias = Calendar | Interval


@dataclass(frozen=True, slots=True)
class Times:
    latest: datetime | None  # the last one that has passed
    upcoming: datetime | None
    are_more: bool = False  # more than the limit have passed


def times_until(now: datetime, schedule: Schedule, since: datetime, limit: int) -> Times:
    """The times around `now`, of those later than `since`. One by one up to `limit`; of more only the last."""
    latest, time = None, schedule.after(since)
    for _ in range(limit):
        if time is None or time > now:
            return Times(latest, time)
        latest, time = time, schedule.after(time)
    if time is None or time > now:
        return Times(latest, time)
    return Times(schedule.latest(since, now), schedule.after(now), are_more=True)


@lru_cache(MAX_SCHEDULES)
def parse_schedule(text: str, zone: ZoneInfo) -> Schedule:
    """Raises ValueError with robfig/cron's sentence."""
    if problem := schedule_problem(text):
        raise ValueError(problem)
    if text.startswith(EVERY):
        return Interval(max(1, int(_duration_seconds(text.removeprefix(EVERY)))))
    fields = DESCRIPTORS.get(text, text).split()
    minutes, hours, days, months, weekdays = (
        _numbers(field, low, high, names) for field, (low, high, names) in zip(fields, FIELDS, strict=True)
    )
    either_day = not any(field.startswith(("*", "?")) for field in (fields[2], fields[4]))
    return Calendar(minutes, hours, days, months, weekdays, either_day, zone)


def _numbers(field: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    numbers: set[int] = set()
    for part in field.split(","):
        span, stepped, step = part.partition("/")
        bounds = [names.get(b.lower(), b) for b in span.split("-")]
        if span in ("*", "?"):
            first, last = low, high
        else:
            first, last = int(bounds[0]), int(bounds[-1])
            if stepped and len(bounds) == 1:
                last = high  # `5/15` begins at 5 and goes on
        numbers.update(range(first, last + 1, int(step or 1)))
    return frozenset(numbers)


def _duration_seconds(text: str) -> float:
    """Go's notation: 1h30m."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|us|µs|ns|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"failed to parse duration {EVERY}{text}: time: invalid duration {text!r}")
    return sum(float(number) * UNITS[unit] for number, unit in parts)
