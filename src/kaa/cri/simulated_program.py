"""A simulated container's inside: what a Python program sees of it, and its log.

    async def worker(container: SimulatedContainer) -> None:
        container.log("working on", container.env["QUEUE"])
        await container.clock.sleep(5)
        container.path("/dev/termination-log").write_text("done")

The program is cancelled when the container is stopped, and may clean up until its grace period is over. It ends the
container by returning (the exit code; None is 0), by raising (1, with the traceback in the log), by `SystemExit`, or
by `MemoryError`, which stands for being killed for want of memory.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path

from kaa.cri.cri import Message
from kaa.cri.simulated_behaviour import KILLED, OUT_OF_MEMORY, TERMINATED, Program
from kaa.cri.simulated_ports import ConnectionHandler, SimulatedPorts
from kaa.lib.clock import Clock, rfc3339_micro

IDENTITY = "io.kubernetes."
"""Labels with this prefix are the kubelet's own."""


class ContainerLog:
    """One container's log file in the CRI format. Nothing is written where there is no directory for it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock

    def write(self, text: str, stream: str = "stdout") -> None:
        """Every line of the text, with the time of now."""
        if not text or not self.path.parent.is_dir():
            return
        now = rfc3339_micro(self._clock.now())
        with self.path.open("a") as file:
            file.writelines(f"{now} {stream} F {line}\n" for line in text.splitlines())


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    reason: str = ""


class SimulatedContainer:
    """What a program sees. `ready` and `healthy` answer its readiness and liveness probes, if it has any."""

    def __init__(self, config: Message, sandbox: Message, log: ContainerLog, clock: Clock) -> None:
        metadata = sandbox["metadata"]
        self.name: str = config["metadata"]["name"]
        self.attempt: int = config["metadata"].get("attempt", 0)
        self.image: str = config["image"].get("user_specified_image") or config["image"]["image"]
        self.pod: str = metadata["name"]
        self.namespace: str = metadata["namespace"]
        self.pod_uid: str = metadata["uid"]
        self.command: list[str] = list(config.get("command") or ())
        self.args: list[str] = list(config.get("args") or ())
        self.env: Mapping[str, str] = {e["key"]: _text(e["value"]) for e in config.get("envs") or ()}
        self.labels = {k: v for k, v in (sandbox.get("labels") or {}).items() if not k.startswith(IDENTITY)}
        self.annotations: Mapping[str, str] = dict(sandbox.get("annotations") or {})
        self.clock = clock
        self.ready = True
        self.healthy = True
        self.ports = SimulatedPorts(lambda text: log.write(text, "stderr"))
        self._mounts = {m["container_path"]: Path(m["host_path"]) for m in config.get("mounts") or ()}
        self._log = log

    def log(self, *words: object, stream: str = "stdout") -> None:
        """Writes a line, as `print` does, to the container's log."""
        self._log.write(" ".join(str(word) for word in words) or " ", stream)

    def serve(self, port: int, handler: ConnectionHandler) -> None:
        """Answers connections to the port that `kubectl port-forward` brings, as `asyncio.start_server` would."""
        self.ports.serve(port, handler)

    def passes(self, purpose: str) -> bool:
        """The program's own answer to a probe."""
        return {"readiness": self.ready, "liveness": self.healthy}.get(purpose, True)

    def path(self, inside: str) -> Path:
        """Where a file of a mounted volume lies. Raises FileNotFoundError where nothing is mounted."""
        wanted = Path(inside)
        for mounted, outside in self._mounts.items():
            if wanted.is_relative_to(mounted):
                return outside / wanted.relative_to(mounted)
        raise FileNotFoundError(f"nothing is mounted at {inside}")


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


async def run_program(program: Program, container: SimulatedContainer, log: ContainerLog) -> Exit:
    """How the container ends. Whatever a program raises is its own affair, as a process's crash is."""
    try:
        return Exit(_exit_code(await _working(program(container))))
    except asyncio.CancelledError:
        return Exit(TERMINATED)
    except SystemExit as end:
        if isinstance(end.code, str):
            log.write(end.code, "stderr")
        return Exit(end.code & 0xFF if isinstance(end.code, int) else int(end.code is not None))
    except MemoryError:
        return Exit(KILLED, OUT_OF_MEMORY)
    except Exception:
        log.write(traceback.format_exc(), "stderr")
        return Exit(1)


def _working(work: object) -> Awaitable[object]:
    if not isawaitable(work):
        raise TypeError("what an image runs is a coroutine function: async def ...(container)")
    return work


def _exit_code(returned: object) -> int:
    """A byte, as the kernel has it. `True` is no code: as a number it would be a failure."""
    if returned is None:
        return 0
    if not isinstance(returned, int) or isinstance(returned, bool):
        raise TypeError(f"a program returns its exit code or None, not {returned!r}")
    return returned & 0xFF
