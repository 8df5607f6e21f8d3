"""The part of JSONPath that printer columns use: `.spec.replicas`, `.a['b.c']`, `.b[0]`, `[*]`, `[?(@.type=="x")]`."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from kaa.api.errors import bad_request

Step = Callable[[Any], Iterable[Any]]

_TOKEN = re.compile(
    r"""\.(?P<field>(?:[^.\[\\]|\\.)+)      # .name, with \. for a dot in it
      | \[(?P<quoted>'[^']*'|"[^"]*")\]      # ['name']
      | \[(?P<index>-?\d+)\]
      | (?P<all>\[\*\]|\.\*)
      | \[\?\(@\.(?P<key>[\w./-]+)\s*==\s*(?P<value>"[^"]*"|'[^']*'|[\w.-]+)\)\]
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises BadRequest for what is not understood."""
    steps: list[Step] = []
    position = 0
    while position < len(path):
        match = _TOKEN.match(path, position)
        if match is None:
            raise bad_request(f"unrecognized JSONPath {path!r} at {path[position:]!r}")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: "re.Match[str]") -> Step:
    if match["field"] is not None:
        return _field(match["field"].replace("\\.", "."))
    if match["quoted"] is not None:
        return _field(match["quoted"][1:-1])
    if match["index"] is not None:
        return _index(int(match["index"]))
    if match["all"] is not None:
        return _all
    return _where(match["key"], match["value"].strip("\"'"))


def _field(name: str) -> Step:
    return lambda value: (value[name],) if isinstance(value, dict) and name in value else ()


def _index(index: int) -> Step:
    return lambda value: value[index : index + 1 or None] if isinstance(value, list) else ()


def _all(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _where(path: str, wanted: str) -> Step:
    keys = path.split(".")

    def step(value: Any) -> Iterable[Any]:
        return [item for item in value if _at(item, keys) == wanted] if isinstance(value, list) else ()

    return step


def _at(item: Any, keys: list[str]) -> str | None:
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    return str(item) if item is not None else None


def find(path: str, value: Any) -> list[Any]:
    """Everything that the path leads to."""
    values: list[Any] = [value]
    for step in parse(path):
        values = [found for current in values for found in step(current)]
    return values
