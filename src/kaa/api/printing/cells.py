"""What many columns share: ages, places for what is absent, joined lists, and the columns Name and Age themselves."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.api.resource import Column
from kaa.api.selectors import selector_of
from kaa.lib.clock import parse_rfc3339

NONE = "<none>"
UNKNOWN = "<unknown>"
INVALID = "<invalid>"
UNSET = "<unset>"

MAX_SHOWN = 3
"""Entries of a long list that are shown before ` + N more...`."""

Cell = Callable[[Object, datetime], Any]


def human_duration(duration: timedelta) -> str:
    """Two or three significant figures: `45s`, `3m20s`, `5h`, `2d4h`, `1y30d`; a little in the future is `0s`."""
    seconds = int(duration.total_seconds())
    if seconds < -1:
        return INVALID
    seconds = max(seconds, 0)
    minutes, hours = seconds // 60, seconds // 3600
    days, years = hours // 24, hours // (24 * 365)
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    if years < 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def since(timestamp: str | None, now: datetime, absent: str = UNKNOWN) -> str:
    """How long ago a metav1.Time was."""
    return human_duration(now - parse_rfc3339(timestamp)) if timestamp else absent


def name_cell(obj: Object, now: datetime) -> str:
    name: str = obj["metadata"].get("name", "")
    return name


def age_cell(obj: Object, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def created_at(obj: Object, now: datetime) -> str:
    timestamp: str = obj["metadata"].get("creationTimestamp") or UNKNOWN
    return timestamp


def at(path: str, absent: Any = "") -> Cell:
    """The cell that shows the field at a dotted path."""
    *parents, last = path.split(".")

    def cell(obj: Object, now: datetime) -> Any:
        for key in parents:
            obj = obj.get(key) or {}
        value = obj.get(last)
        return absent if value is None or value == "" else value

    return cell


def count_of(*paths: str) -> Cell:
    """The cell that counts the entries of lists and maps."""
    cells = [at(path, ()) for path in paths]
    return lambda obj, now: sum(len(cell(obj, now)) for cell in cells)


def boolean(value: bool | None) -> str:
    return UNSET if value is None else str(value)


def joined(values: Iterable[Any], separator: str = ",", absent: str = NONE) -> str:
    return separator.join(str(value) for value in values) or absent


def shortened(values: list[str], separator: str = ",", absent: str = NONE) -> str:
    """The first few of a list, and how many more there are."""
    text = joined(values[:MAX_SHOWN], separator, absent)
    return f"{text} + {len(values) - MAX_SHOWN} more..." if len(values) > MAX_SHOWN else text


def labels_text(labels: Mapping[str, str] | None) -> str:
    return joined(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def selector_text(selector: Object | None) -> str:
    """A LabelSelector as people write it."""
    try:
        return str(selector_of(selector)) or NONE
    except APIError:
        return "<error>"


def typed_name(kind: str, group: str, name: str) -> str:
    """`StatefulSet.apps/web`, or `Pod/web` in the core group."""
    return f"{kind}.{group}/{name}" if group else f"{kind}/{name}"


NAME = Column("Name", name_cell, format="name", description="Name must be unique within a namespace.")
AGE = Column("Age", age_cell, description="How long ago the object was created.")
CREATED_AT = Column("Created At", created_at, description="When the object was created.")


def text(name: str, value: Cell | str, *, wide: bool = False, description: str = "") -> Column:
    """A text column. `value` is a cell or the dotted path of a field."""
    return Column(name, at(value) if isinstance(value, str) else value, "string", "", int(wide), description)


def number(name: str, value: Cell | str, *, wide: bool = False, description: str = "") -> Column:
    """A column of integers, 0 where the field is absent."""
    return Column(name, at(value, 0) if isinstance(value, str) else value, "integer", "", int(wide), description)


def flag(name: str, value: Cell | str, *, wide: bool = False, description: str = "") -> Column:
    """A column of booleans, false where the field is absent."""
    return Column(name, at(value, False) if isinstance(value, str) else value, "boolean", "", int(wide), description)
