"""The runtime over its own restarts, and over ends that it does not see."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kaa.cri.cri import Message
from kaa.cri.runtime import Runtime, RuntimeConfig, open_runtime
from kaa.lib.clock import WallClock
from tests.fakes.node import Node, container_config, node


@asynccontextmanager
async def runtime_on(place: Node) -> AsyncIterator[Runtime]:
    """A runtime that stops without a word at the end, as if killed: it writes nothing then."""
    runtime, images = open_runtime(RuntimeConfig(place.root, place.run), place.network, WallClock())
    if not (await images.list_images({}))["images"]:
        await images.load_archive(place.archive)
    running = asyncio.create_task(runtime.run())
    try:
        yield runtime
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def start(runtime: Runtime, sandbox_id: str, sandbox: Message, name: str, *command: str) -> str:
    request = {"pod_sandbox_id": sandbox_id, "config": container_config(name, *command), "sandbox_config": sandbox}
    container = str((await runtime.create_container(request))["container_id"])
    await runtime.start_container({"container_id": container})
    return container


async def status_of(runtime: Runtime, container: str) -> Message:
    return dict((await runtime.container_status({"container_id": container}))["status"])


async def ended(runtime: Runtime, container: str) -> Message:
    async with asyncio.timeout(10):
        while True:
            status = await status_of(runtime, container)
            if status["state"] == "CONTAINER_EXITED":
                return status
            await asyncio.sleep(0.02)


async def test_containers_go_on_without_the_runtime() -> None:
    """Protects the kubelet's restart: what runs keeps running, and what ended meanwhile ended when it did."""
    with node() as place:
        sandbox = place.sandbox_config()
        async with runtime_on(place) as runtime:
            sandbox_id = (await runtime.run_pod_sandbox({"config": sandbox}))["pod_sandbox_id"]
            lasting = await start(runtime, sandbox_id, sandbox, "lasting", "sleep", "100")
            short = await start(runtime, sandbox_id, sandbox, "short", "sh", "-c", "sleep 0.5; exit 6")
            before = await status_of(runtime, lasting)
        await asyncio.sleep(1.5)
        async with runtime_on(place) as runtime:
            assert await status_of(runtime, lasting) == before
            status = await ended(runtime, short)
            assert status["exit_code"] == 6
            assert 0.4e9 < status["finished_at"] - status["started_at"] < 1.4e9
            answer = await runtime.exec_sync({"container_id": lasting, "cmd": ["echo", "still here"]})
            assert answer["stdout"] == b"still here\n"
            assert (await runtime.pod_sandbox_status({"pod_sandbox_id": sandbox_id}))["status"][
                "state"
            ] == "SANDBOX_READY"
            await runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox_id})


async def test_a_container_whose_conmon_is_killed_ends() -> None:
    """Protects against a container that nobody serves: it is killed, and its end is told."""
    with node() as place:
        sandbox = place.sandbox_config()
        async with runtime_on(place) as runtime:
            sandbox_id = (await runtime.run_pod_sandbox({"config": sandbox}))["pod_sandbox_id"]
            container = await start(runtime, sandbox_id, sandbox, "main", "sleep", "100")
            os.kill(int((place.run / "containers" / container / "conmon.pid").read_text()), signal.SIGKILL)
            status = await ended(runtime, container)
            assert (status["exit_code"], status["reason"]) == (255, "Unknown")
            await runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox_id})


async def test_a_node_started_anew_has_nothing_running() -> None:
    """Protects a node whose namespaces ended: its run directory is empty then, and every record says so."""
    with node() as place:
        sandbox = place.sandbox_config()
        async with runtime_on(place) as runtime:
            sandbox_id = (await runtime.run_pod_sandbox({"config": sandbox}))["pod_sandbox_id"]
            container = await start(runtime, sandbox_id, sandbox, "main", "sleep", "100")
        moved = RuntimeConfig(place.root, place.directory / "run2")
        runtime, _ = open_runtime(moved, place.network, WallClock())
        assert (await status_of(runtime, container))["state"] == "CONTAINER_EXITED"
        pod = (await runtime.pod_sandbox_status({"pod_sandbox_id": sandbox_id}))["status"]
        assert pod["state"] == "SANDBOX_NOTREADY"
        await runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox_id})
        assert (await runtime.list_containers({}))["containers"] == []
        runtime.close()


async def test_what_no_record_knows_is_swept_away() -> None:
    """Protects against leaks of a crash between making something and writing it down."""
    with node() as place:
        sandbox = place.sandbox_config()
        async with runtime_on(place) as runtime:
            sandbox_id = (await runtime.run_pod_sandbox({"config": sandbox}))["pod_sandbox_id"]
            await start(runtime, sandbox_id, sandbox, "main", "sleep", "100")
        for kind in ("containers", "sandboxes"):
            for record in (place.root / kind).glob("*.json"):
                record.unlink()
        async with runtime_on(place) as runtime:
            async with asyncio.timeout(10):
                while True:
                    if not any((place.run / "sandboxes").iterdir()) and not any((place.run / "containers").iterdir()):
                        break
                    await asyncio.sleep(0.02)
            assert str(place.directory) not in Path("/proc/mounts").read_text()
            assert list((place.root / "snapshots" / "containers").iterdir()) == []
