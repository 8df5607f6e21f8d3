"""A pod's annotations say what its simulated containers do. Pure.

    simulation.kaa.dev/exit-after: 30s            every container of the pod
    simulation.kaa.dev/web.ready-after: never     the container `web`; it wins

| annotation | value | what happens |
|---|---|---|
| `start-after` | duration | so long until the container runs (it waits as ContainerCreating) |
| `started-after` | duration, `never` | its startup probe passes so long after the start |
| `ready-after` | duration, `never` | it is ready so long after the start |
| `ready-flapping` | `20s/5s` | it is ready for 20 s, then not for 5 s, and so on |
| `unhealthy-after` | duration | its liveness probe fails so long after the start |
| `exit-after` | duration, `never` | it ends by itself so long after the start |
| `exit-code` | number | with this exit code (0) |
| `crash-after` | duration | it ends with exit code 1 so long after the start |
| `out-of-memory-after` | duration | it is killed for want of memory (OOMKilled, 137) so long after the start |
| `stop-after` | duration | so long from SIGTERM to its end; beyond the grace period it is killed (137) |
| `stop-code` | number | its exit code when it is stopped (0) |
| `pull-after` | duration | so long takes the pull of its image (of the pod only, not of one container) |
| `pull-error` | text | the pull fails with this message: ErrImagePull, ImagePullBackOff (of the pod only) |
| `create-error` | text | CreateContainerError with this message |
| `start-error` | text | RunContainerError with this message |
| `log` | text | what it writes to its log when it starts |
| `cpu` | quantity | the CPU that it uses, in statistics (1m) |
| `memory` | quantity | the memory that it uses, in statistics (1M) |

By themselves init containers end at once, and containers of a Job's pods after a second; all others run until they
are stopped.

A duration is written `1h`, `2m30s`, `500ms`, or as a number of seconds. `ready-after` and `ready-flapping` need no
probe in the pod; `started-after` and `unhealthy-after` are answers to probes that it has. An image that is present on
the node is not pulled, unless the pull policy is Always: as on any node.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kaa.api.quantity import bytes_of, cpu_millicores
from kaa.cri.cri import RuntimeFault
from kaa.cri.simulated_behaviour import KILLED, NEVER, OUT_OF_MEMORY, Behaviour, Flapping

PREFIX = "simulation.kaa.dev/"

UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|m|s))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")


def seconds(text: str) -> float:
    """`2m30s` is 150.0, as is `150`; `never` is infinite. Raises ValueError."""
    if text == "never":
        return NEVER
    if _DURATION.fullmatch(text):
        return sum(float(number) * UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"not a duration: {text!r}")
    return float(text)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A row: its name, and which of a Behaviour's fields its value gives. `fields` raises ValueError for a bad one."""

    name: str
    fields: Callable[[str], dict[str, Any]]


def _seconds_of(field: str, **more: Any) -> Callable[[str], dict[str, Any]]:
    return lambda text: {field: seconds(text), **more}


def _whole(field: str) -> Callable[[str], dict[str, Any]]:
    return lambda text: {field: int(text)}


def _fault(field: str, code: str) -> Callable[[str], dict[str, Any]]:
    return lambda text: {field: RuntimeFault(code, text)}


def _flapping(text: str) -> dict[str, Any]:
    ready, slash, unready = text.partition("/")
    flapping = Flapping(seconds(ready), seconds(unready or "0"))
    if not slash or not 0 < flapping.ready_seconds + flapping.unready_seconds < NEVER:
        raise ValueError(f"not two durations: {text!r}")
    return {"flapping": flapping}


ANNOTATIONS = (
    Annotation("start-after", _seconds_of("start_seconds")),
    Annotation("started-after", _seconds_of("started_after_seconds")),
    Annotation("ready-after", _seconds_of("ready_after_seconds")),
    Annotation("ready-flapping", _flapping),
    Annotation("unhealthy-after", _seconds_of("healthy_seconds")),
    Annotation("exit-after", _seconds_of("exit_after_seconds")),
    Annotation("crash-after", _seconds_of("exit_after_seconds", exit_code=1)),
    Annotation("out-of-memory-after", _seconds_of("exit_after_seconds", exit_code=KILLED, exit_reason=OUT_OF_MEMORY)),
    Annotation("exit-code", _whole("exit_code")),
    Annotation("stop-after", _seconds_of("stop_seconds")),
    Annotation("stop-code", _whole("stop_exit_code")),
    Annotation("pull-after", _seconds_of("pull_seconds")),
    Annotation("pull-error", _fault("pull_error", "NotFound")),
    Annotation("create-error", _fault("create_error", "Unknown")),
    Annotation("start-error", _fault("start_error", "Unknown")),
    Annotation("log", lambda text: {"output": text}),
    Annotation("cpu", lambda text: {"cpu_millicores": float(cpu_millicores(text))}),
    Annotation("memory", lambda text: {"memory_bytes": bytes_of(text)}),
)
"""A later row wins over an earlier one where both give the same field."""


def refined(behaviour: Behaviour, container: str, annotations: Mapping[str, str]) -> Behaviour:
    """The behaviour as the pod's annotations change it. Raises RuntimeFault for one that cannot be read."""
    ours = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    if not ours:
        return behaviour
    changes: dict[str, Any] = {}
    for row in ANNOTATIONS:
        text = ours.get(f"{container}.{row.name}", ours.get(row.name))
        if text is None:
            continue
        try:
            changes |= row.fields(text)
        except ValueError as error:
            raise RuntimeFault("InvalidArgument", f"annotation {PREFIX}{row.name}: {error}") from None
    return replace(behaviour, **changes)
