"""`kill -9` of a real `kaa scheduler`, again and again, while it fills nodes to the brim over TLS.

No pod ever changes its node, and no node ever holds more than it has room for: not for a moment, in the order in which
the server tells of it. KAA_CRASHES=20 kills twenty times.
"""

import asyncio
import os
import random
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from tests.integration.test_crash import Server

from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import load_kubeconfig
from kaa.client.rest import Client

KILLS = int(os.environ.get("KAA_CRASHES", "3"))
ROOM = 4
PODS_A_KILL = 80
WAIT_SECONDS = 60.0


async def test_a_killed_scheduler_leaves_no_pod_twice_and_no_node_too_full(tmp_path: Path) -> None:
    """Bindings are under way when it dies; the next one must take up from what is true."""
    rng, pods = random.Random(5), KILLS * PODS_A_KILL
    server = Server(tmp_path, [])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.kill)
        await server.start()
        client = Client(HTTPTransport.from_config(load_kubeconfig(tmp_path / "admin.kubeconfig"), "test"))
        stack.push_async_callback(client.close)
        await prepare(client, pods)
        bindings: list[str] = []
        watching = asyncio.create_task(follow(client, bindings, pods))
        stack.callback(watching.cancel)
        for kill in range(KILLS):
            scheduler = await start_scheduler(tmp_path)
            wanted = kill * PODS_A_KILL + rng.randrange(1, PODS_A_KILL)
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    while len(bindings) < wanted:
                        assert not watching.done(), watching.exception()
                        await asyncio.sleep(0.001)
            finally:
                await kill_process(scheduler)
        scheduler = await start_scheduler(tmp_path)
        stack.push_async_callback(kill_process, scheduler)
        async with asyncio.timeout(WAIT_SECONDS):
            await watching


async def prepare(client: Client, pods: int) -> None:
    """Nodes for exactly so many pods, and the pods."""
    await client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}, "default")
    for index in range(pods // ROOM):
        name = f"node-{index}"
        room = {"cpu": str(ROOM), "memory": "8Gi", "pods": "110"}
        status = {"allocatable": room, "capacity": room}
        await client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status})
        # It is born tainted, and nobody is here to say that it is ready.
        await client.patch("Node", name, {"spec": {"taints": None}})
    container = {"name": "main", "image": "example/app:1", "resources": {"requests": {"cpu": "1"}}}
    for index in range(pods):
        metadata = {"name": f"pod-{index}"}
        await client.create(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}, "default"
        )


async def follow(client: Client, bindings: list[str], pods: int) -> None:
    """Every change of a pod, in order, until all have a node."""
    nodes: dict[str, str] = {}
    counts: dict[str, int] = {}
    listed = await client.list("Pod", "default")
    async for event in client.watch("Pod", "default", resource_version=listed.resource_version):
        pod: Any = event.object
        node_name = pod["spec"].get("nodeName") if event.type != "BOOKMARK" else None
        if not node_name:
            continue
        name = pod["metadata"]["name"]
        if name not in nodes:
            nodes[name] = node_name
            counts[node_name] = counts.get(node_name, 0) + 1
            bindings.append(name)
        assert nodes[name] == node_name, f"{name} was on {nodes[name]} and is on {node_name}"
        assert counts[node_name] <= ROOM, f"{node_name} holds too much"
        if len(nodes) == pods:
            return


async def start_scheduler(directory: Path) -> asyncio.subprocess.Process:
    program = [sys.executable, "-c", "from kaa.cli.main import main; main()", "scheduler"]
    with (directory / "scheduler.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *program, "--kubeconfig", str(directory / "admin.kubeconfig"), stdout=log, stderr=log
        )


async def kill_process(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
