"""What simulated containers do: a `Behaviour` says it in numbers, a program in Python.

A behaviour is chosen for each container when it is created, by `BehaviourOf`. The runtime plays it in the Clock's
time.
"""

import logging
import math
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kaa.cri.cri import Message, RuntimeFault

if TYPE_CHECKING:
    from kaa.cri.simulated_program import SimulatedContainer

log = logging.getLogger(__name__)

NEVER = math.inf

OUT_OF_MEMORY = "OOMKilled"
KILLED = 137
"""128 + SIGKILL: what a container's exit code is when it was killed."""
TERMINATED = 143
"""128 + SIGTERM."""

Program: TypeAlias = Callable[["SimulatedContainer"], Awaitable[int | None]]
"""A coroutine function that runs as the container; what it returns is the exit code, None is 0."""

ProbeAnswer: TypeAlias = Callable[[str, float], bool]
"""Whether a probe passes: from "startup", "liveness" or "readiness", and the seconds since the container started."""


@dataclass(frozen=True, slots=True)
class Flapping:
    """Ready for so long, then not for so long, and so on."""

    ready_seconds: float
    unready_seconds: float

    def ready_at(self, age_seconds: float) -> bool:
        return age_seconds % (self.ready_seconds + self.unready_seconds) < self.ready_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a container does. Every default is what a container does that just runs until it is stopped.

    Times are seconds from the container's start. `exit_after_seconds` None: whoever chooses behaviours may know better
    (an init container is to end); to the runtime it is never. A container that needs longer than its grace period to
    stop is killed.
    """

    start_seconds: float = 0.0
    started_after_seconds: float = 0.0
    ready_after_seconds: float = 0.0
    flapping: Flapping | None = None
    healthy_seconds: float = NEVER
    probe_answer: ProbeAnswer | None = None
    exit_after_seconds: float | None = None
    exit_code: int = 0
    exit_reason: str = ""
    stop_seconds: float = 0.0
    stop_exit_code: int = 0
    pull_seconds: float = 0.0
    pull_error: RuntimeFault | None = None
    create_error: RuntimeFault | None = None
    start_error: RuntimeFault | None = None
    output: str = ""
    cpu_millicores: float = 1.0
    memory_bytes: int = 1_000_000
    size_bytes: int = 1_000_000
    uid: int | None = None
    exec_answer: Callable[[list[str]], tuple[int, bytes]] = lambda command: (0, b"")
    program: Program | None = None

    def passes(self, purpose: str, age_seconds: float) -> bool:
        """Whether a probe (or hook) succeeds so long after the start."""
        if self.probe_answer is not None:
            return _asked(self.probe_answer, purpose, age_seconds)
        match purpose:
            case "startup":
                return age_seconds >= self.started_after_seconds
            case "liveness":
                return age_seconds < self.healthy_seconds
            case "readiness":
                return self._ready_at(age_seconds - self.ready_after_seconds)
            case _:
                return True

    def answer(self, command: list[str]) -> tuple[int, bytes]:
        """A command's exit code and output. An answer that raises is a program that fails, and says why."""
        try:
            return self.exec_answer(command)
        except Exception:
            return 1, traceback.format_exc().encode()

    def _ready_at(self, since_seconds: float) -> bool:
        return since_seconds >= 0 and (self.flapping is None or self.flapping.ready_at(since_seconds))

    @property
    def decides_readiness(self) -> bool:
        """Whether it says more of readiness than that a running container is ready."""
        return self.ready_after_seconds > 0 or self.flapping is not None


def _asked(probe_answer: ProbeAnswer, purpose: str, age_seconds: float) -> bool:
    """One that raises is a program that does not answer. It must not take the node with it."""
    try:
        return probe_answer(purpose, age_seconds)
    except Exception:
        log.exception("the behaviour's answer to a %s probe", purpose)
        return False


BehaviourOf: TypeAlias = Callable[[str, str, Message], Behaviour]
"""From an image's name, a container's name ("" while the image is pulled) and the PodSandboxConfig."""


def plain_behaviour(image: str, container: str, sandbox_config: Message) -> Behaviour:
    """Every container just runs."""
    return Behaviour()
