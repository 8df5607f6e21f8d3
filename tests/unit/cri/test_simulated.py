"""The simulated runtime keeps CRI's promises, and plays its behaviours and programs in the clock's time."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from kaa.cri.cri import Message, RuntimeFault
from kaa.cri.simulated import SimulatedRuntime
from kaa.cri.simulated_behaviour import Behaviour
from kaa.cri.simulated_program import SimulatedContainer
from kaa.cri.simulated_state import Addresses
from kaa.lib.clock import VirtualClock, VirtualEventLoop


class Machine:
    """A runtime whose containers all do the same, and short names for what tests do with it."""

    def __init__(self, behaviour: Behaviour, logs: Path) -> None:
        self.clock = VirtualClock(seed=1)
        self.runtime = SimulatedRuntime(self.clock, lambda *_: behaviour)
        self.logs = logs

    async def start(self, name: str = "a") -> str:
        metadata = {"name": "pod", "namespace": "default", "uid": "u1"}
        config = {"metadata": metadata, "log_directory": str(self.logs)}
        sandbox = (await self.runtime.run_pod_sandbox({"config": config}))["pod_sandbox_id"]
        await self.runtime.images.pull_image({"image": {"image": "app:1"}})
        container = {"metadata": {"name": name}, "image": {"image": "app:1"}, "log_path": f"{name}.log"}
        made = await self.runtime.create_container({"pod_sandbox_id": sandbox, "config": container})
        await self.runtime.start_container({"container_id": made["container_id"]})
        return str(made["container_id"])

    async def status(self, container: str) -> Message:
        return dict((await self.runtime.container_status({"container_id": container}))["status"])

    async def end(self, container: str) -> tuple[int, str]:
        status = await self.status(container)
        assert status["state"] == "CONTAINER_EXITED"
        return status["exit_code"], status["reason"]


def play(directory: Path, behaviour: Behaviour, scenario: Callable[[Machine], Coroutine[Any, Any, None]]) -> None:
    """In virtual time; nothing may be left running."""

    async def run() -> None:
        machine = Machine(behaviour, directory)
        await scenario(machine)
        await machine.runtime.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(run())


def test_stops_and_removes_may_be_repeated(tmp_path: Path) -> None:
    """Also of what is gone; a status of that is NotFound."""

    async def scenario(machine: Machine) -> None:
        container = await machine.start()
        for _ in range(2):
            await machine.runtime.stop_container({"container_id": container, "timeout": 1})
        assert await machine.end(container) == (0, "Completed")
        (sandbox,) = (await machine.runtime.list_pod_sandbox({}))["items"]
        for _ in range(2):
            await machine.runtime.remove_container({"container_id": container})
            await machine.runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox["id"]})
        with pytest.raises(RuntimeFault) as gone:
            await machine.status(container)
        assert gone.value.code == "NotFound"
        assert (await machine.runtime.list_containers({}))["containers"] == []

    play(tmp_path, Behaviour(), scenario)


def test_events_come_in_order(tmp_path: Path) -> None:
    """Created, started, stopped, deleted; each with the pod's containers as they are then."""

    async def scenario(machine: Machine) -> None:
        seen: list[str] = []

        async def listen() -> None:
            async for event in machine.runtime.get_container_events({}):
                kind: str = event["container_event_type"]
                seen.append(kind)

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        container = await machine.start()
        await machine.clock.sleep(6)
        await machine.runtime.remove_container({"container_id": container})
        await machine.clock.sleep(1)
        listening.cancel()
        await asyncio.wait([listening])
        assert seen == [f"CONTAINER_{what}_EVENT" for what in ("CREATED", "STARTED", "STOPPED", "DELETED")]

    play(tmp_path, Behaviour(exit_after_seconds=5), scenario)


def test_a_container_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    """After its grace period, and not before."""

    async def scenario(machine: Machine) -> None:
        container = await machine.start()
        began = machine.clock.monotonic()
        await machine.runtime.stop_container({"container_id": container, "timeout": 10})
        assert machine.clock.monotonic() - began == 10
        assert (await machine.end(container))[0] == 137

    play(tmp_path, Behaviour(stop_seconds=60), scenario)


async def leave(container: SimulatedContainer) -> int:
    container.log("one", 2)
    container.log("oops", stream="stderr")
    return 3


async def system_exit(container: SimulatedContainer) -> None:
    sys.exit("no more")


async def out_of_memory(container: SimulatedContainer) -> None:
    raise MemoryError


async def crash(container: SimulatedContainer) -> None:
    raise LookupError("nothing there")


@pytest.mark.parametrize(
    ("program", "end", "last_line"),
    [
        (leave, (3, "Error"), "stderr F oops"),
        (system_exit, (1, "Error"), "stderr F no more"),
        (out_of_memory, (137, "OOMKilled"), ""),
        (crash, (1, "Error"), "stderr F LookupError: nothing there"),
    ],
)
def test_how_programs_end(tmp_path: Path, program: Any, end: tuple[int, str], last_line: str) -> None:
    """By what they return or raise; their log is in the CRI format."""

    async def scenario(machine: Machine) -> None:
        container = await machine.start()
        await machine.clock.sleep(1)
        assert await machine.end(container) == end
        log = tmp_path / "a.log"
        lines = log.read_text().splitlines() if log.exists() else [" "]
        assert lines[-1].partition(" ")[2] == last_line

    play(tmp_path, Behaviour(program=program), scenario)


def test_a_program_that_goes_on_when_cancelled_is_left_behind_in_the_end(tmp_path: Path) -> None:
    """The container is killed after its grace period; the machine's end cancels until the coroutine gives in."""
    cancelled: list[int] = []

    async def stubborn(container: SimulatedContainer) -> None:
        for number in range(4):
            try:
                await container.clock.sleep(1e6)
            except asyncio.CancelledError:
                cancelled.append(number)

    async def scenario(machine: Machine) -> None:
        container = await machine.start()
        await machine.clock.sleep(1)
        await machine.runtime.stop_container({"container_id": container, "timeout": 5})
        assert (await machine.end(container))[0] == 137

    play(tmp_path, Behaviour(program=stubborn), scenario)
    assert cancelled == [0, 1, 2, 3]


def test_addresses() -> None:
    """One that is given back comes again only after all others; none is given twice; the end is told."""
    addresses = Addresses("10.0.0.0/29")
    first = [addresses.take() for _ in range(5)]
    assert first == [f"10.0.0.{n}" for n in range(2, 7)]
    with pytest.raises(RuntimeFault, match="no free address"):
        addresses.take()
    addresses.give_back("10.0.0.3")
    addresses.give_back("10.0.0.5")
    assert [addresses.take(), addresses.take()] == ["10.0.0.3", "10.0.0.5"]
    again = Addresses("10.0.0.0/29")
    again.reserve("10.0.0.2")
    assert again.take() == "10.0.0.3"
