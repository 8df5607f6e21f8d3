"""Waiting for an object: the conditions that one can name, and what is said when one does not come true.

A condition is text in kubectl's forms, or a Python function of the object:

    "Available"                                  the condition of that type is True
    "condition=Ready=False"                      it has that status
    "jsonpath={.status.phase}=Running"           the value at a path; without "=...", that there is one
    "create", "delete"                           the object is there, or gone
    lambda pod: pod["status"]["podIP"]           whatever is true; KeyError and IndexError count as not yet
"""

import asyncio
import re
from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, TypeAlias

from kaa.api.errors import APIError, qualified
from kaa.api.objects import Object
from kaa.api.objects import condition as condition_of
from kaa.api.resource import Resource
from kaa.client.rest import Client
from kaa.cluster.simulation.portrait import portrait

WAIT_SECONDS = 60.0
"""How long things are waited for, in the cluster's time, unless one says."""

Condition: TypeAlias = str | Callable[[Object], Any]
Judgement: TypeAlias = Callable[[Object | None], bool]
"""Whether an object, None while there is none, is as it is waited for."""


class WaitTimeout(TimeoutError):
    """kubectl's message, then what the object looked like and the last events about it."""


def predicate_of(condition: Condition) -> Judgement:
    """Raises ValueError for text that is no condition."""
    if callable(condition):
        return lambda obj: obj is not None and _holds(condition, obj)
    form, _, rest = condition.partition("=")
    match form:
        case "delete":
            return lambda obj: obj is None
        case "create":
            return lambda obj: obj is not None
        case "jsonpath":
            path, wanted = split_jsonpath(rest)
            return lambda obj: obj is not None and matches(value_at(obj, path), wanted)
        case "condition":
            kind, _, status = rest.partition("=")
            return _has_condition(kind, status or "True")
        case _:
            return _has_condition(form, rest or "True")


def _holds(predicate: Callable[[Object], Any], obj: Object) -> bool:
    try:
        found = predicate(obj)
    except (KeyError, IndexError):
        return False  # nobody has written the field yet
    if iscoroutine(found):
        found.close()
        raise TypeError("a condition is a plain function of the object; run_until takes a coroutine function")
    return bool(found)


def _told(condition: Condition) -> str:
    return condition if isinstance(condition, str) else getattr(condition, "__qualname__", repr(condition))


def _has_condition(kind: str, status: str) -> Judgement:
    def test(obj: Object | None) -> bool:
        found = condition_of((obj or {}).get("status", {}).get("conditions"), kind)
        return found is not None and str(found.get("status", "")).lower() == status.lower()

    return test


JSONPATH = re.compile(r"\{(?P<path>[^{}]+)\}(=(?P<value>.*))?", re.DOTALL)
STEP = re.compile(r"\.(?P<field>(?:[^.\[\\]|\\.)+)|\[(?P<index>-?\d+)\]|\['(?P<quoted>[^']+)'\]")


def split_jsonpath(text: str) -> tuple[list[str | int], str | None]:
    """`{.status.conditions[0].type}=Ready` -> (["status", "conditions", 0, "type"], "Ready"). Raises ValueError."""
    whole = JSONPATH.fullmatch(text)
    if whole is None:
        raise ValueError(f"jsonpath wait format must be --for=jsonpath='{{}}'=value or {{}}: {text!r}")
    steps: list[str | int] = []
    path, position = whole["path"].removeprefix("$"), 0
    while position < len(path):
        step = STEP.match(path, position)
        if step is None:
            raise ValueError(f"unsupported jsonpath {whole['path']!r}: fields and indexes only")
        position = step.end()
        if step["index"] is not None:
            steps.append(int(step["index"]))
        else:
            steps.append(step["quoted"] or step["field"].replace("\\", ""))
    return steps, whole["value"]


def value_at(obj: Any, path: "list[str | int]") -> Any:
    """None where there is nothing."""
    for step in path:
        try:
            obj = obj[step]
        except (KeyError, IndexError, TypeError):
            return None
    return obj


def matches(value: Any, wanted: str | None) -> bool:
    if wanted is None:
        return value is not None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return value is not None and text == wanted


async def wait_for(
    client: Client, resource: Resource, name: str, namespace: str | None, condition: Condition, seconds: float
) -> Object | None:
    """Raises WaitTimeout; ValueError for a condition that is none."""
    test = predicate_of(condition)
    newest: list[Object | None] = [None]
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await _watch(client, resource, name, namespace, test, newest):
                    return newest[0]
    except TimeoutError:
        what = f"{qualified(resource.name, resource.group)}/{name}"
        seen = await portrait(client, resource, newest[0], name, namespace)
        raise WaitTimeout(f"timed out waiting for the condition on {what}: {_told(condition)}\n{seen}") from None


async def _watch(
    client: Client, resource: Resource, name: str, namespace: str | None, test: Judgement, newest: "list[Object | None]"
) -> bool:
    """Whether the test came true before the server ended the watch."""
    selector = f"metadata.name={name}"
    found = await client.list(resource, namespace, field_selector=selector)
    newest[0] = found.items[0] if found.items else None
    if test(newest[0]):
        return True
    watch = client.watch(resource, namespace, resource_version=found.resource_version, field_selector=selector)
    try:
        async for event in watch:
            if event.type == "BOOKMARK":
                continue
            newest[0] = None if event.type == "DELETED" else event.object
            if test(newest[0]):
                return True
    except APIError as error:
        if error.reason != "Expired":
            raise
    finally:
        await watch.aclose()  # type: ignore[attr-defined]  # it is an async generator
    return False
