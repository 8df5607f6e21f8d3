"""How fast pods get nodes through the API: server, scheduler and client are processes of their own, over TLS.

Counted is what users wait for: from the first pod's creation until the last is bound. The client creates pods as fast
as CREATING at a time go, and watches; its own CPU is on the same machine.
"""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import aiohttp
import orjson

from bench.api_server import MERGE_PATCH
from bench.scheduler_workloads import INIT, MEASURED, PRIORITIES, Workload, gang_of
from bench.target import Target, started
from kaa.api.objects import Object, copy_object
from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import ClientConfig
from kaa.client.rest import Client
from kaa.cluster.certificates import SCHEDULER, make_client, read_pair
from kaa.cluster.uvloop_runner import run_until_signal
from kaa.lib.clock import WallClock
from kaa.scheduler.loop import run_scheduler

CREATING = 32
WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Bound:
    """CPU is by pod."""

    per_second: float
    server_cpu_seconds: float
    scheduler_cpu_seconds: float


def schedule(config: ClientConfig) -> None:
    async def run() -> None:
        client = Client(HTTPTransport.from_config(config, SCHEDULER.user))
        try:
            await run_scheduler(client, WallClock())
        finally:
            await client.close()

    run_until_signal(run)


@asynccontextmanager
async def scheduling(directory: Path, target: Target) -> AsyncIterator[Target]:
    """A scheduler in a process of its own; the target is it."""
    clock = WallClock()
    pair = make_client(read_pair(directory / "pki", "ca"), SCHEDULER, clock.now(), clock.random)
    config = replace(target.config, client_certificate=pair.certificate, client_key=pair.key)
    process = multiprocessing.get_context("spawn").Process(target=schedule, args=(config,))
    process.start()
    assert process.pid is not None
    try:
        yield replace(target, pids=[process.pid])
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)


async def measure(workload: Workload, directory: Path) -> Bound:
    async with started(directory) as server:
        await _prepare(server, workload)
        async with scheduling(directory, server) as scheduler, asyncio.timeout(WAIT_SECONDS):
            await _warm_up(server, workload)
            async with asyncio.TaskGroup() as tasks:
                churning = tasks.create_task(_churn(server, workload))
                bound = await _measured(server, scheduler, workload)
                churning.cancel()
            return bound


async def _prepare(server: Target, workload: Workload) -> None:
    """Nodes, and pods that are on them already: how they got there is not what is measured."""
    for namespace in (INIT, MEASURED):
        await server.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        here = f"/api/v1/namespaces/{namespace}"
        await server.send("POST", f"{here}/serviceaccounts", {"metadata": {"name": "default"}})
    for name, value in PRIORITIES.items():
        priority = {"metadata": {"name": name}, "value": value}
        await server.send("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority)
    if workload.gang_size:
        gangs = sorted({gang_of(index, workload.gang_size) for index in range(workload.pods)})
        policy = {"gang": {"minCount": workload.gang_size}}
        groups = ({"metadata": {"name": name}, "spec": {"schedulingPolicy": policy}} for name in gangs)
        await _post_all(server, f"/apis/scheduling.k8s.io/v1beta1/namespaces/{MEASURED}/podgroups", groups)
    nodes = [workload.node(index) for index in range(workload.nodes)]
    await _post_all(server, "/api/v1/nodes", nodes)
    # They are born tainted, and no kubelet and controller is here to say that they are ready.
    paths = iter([f"/api/v1/nodes/{node['metadata']['name']}" for node in nodes])
    await _at_once(server.send("PATCH", path, {"spec": {"taints": None}}, MERGE_PATCH) for path in paths)
    names = (f"node-{index % workload.nodes}" for index in count())
    pods = (_on(template, next(names)) for many, template in workload.initial for _ in range(many))
    await _post_all(server, f"/api/v1/namespaces/{INIT}/pods", pods)


async def _warm_up(server: Target, workload: Workload) -> None:
    """Until the scheduler has seen all there is: those that fit nowhere have been tried, and one pod has a node."""
    here = f"/api/v1/namespaces/{INIT}/pods"
    hopeless = [template for many, template in workload.unschedulable for _ in range(many)]
    await _post_all(server, here, hopeless)
    first = {"metadata": {"name": "first"}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}
    async with _watching(server, here) as watch:
        await server.send("POST", here, first)
        await _until_bound(watch, 1)


async def _measured(server: Target, scheduler: Target, workload: Workload) -> Bound:
    path = f"/api/v1/namespaces/{MEASURED}/pods"
    async with _watching(server, path) as watch, asyncio.TaskGroup() as tasks:
        before = server.cpu_seconds(), scheduler.cpu_seconds()
        began = time.perf_counter()
        tasks.create_task(_post_all(server, path, (workload.pod(index) for index in range(workload.pods))))
        await _until_bound(watch, workload.pods)
        seconds = time.perf_counter() - began
        after = server.cpu_seconds(), scheduler.cpu_seconds()
    each = [(now - then) / workload.pods for now, then in zip(after, before, strict=True)]
    return Bound(workload.pods / seconds, *each)


@asynccontextmanager
async def _watching(server: Target, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with await server.watch(path, await server.resource_version(path)) as watch:
        yield watch


async def _until_bound(watch: aiohttp.ClientResponse, pods: int) -> None:
    """Decodes only what is asked for: pods that have just got a node."""
    bound: set[str] = set()
    async for line in watch.content:
        if b'"nodeName":' in line:
            event = orjson.loads(line)
            if event["type"] == "MODIFIED" and event["object"]["spec"].get("nodeName"):
                bound.add(event["object"]["metadata"]["name"])
                if len(bound) == pods:
                    return


async def _churn(server: Target, workload: Workload) -> None:
    """One of each comes, and goes again before the next if it does."""
    paths = {"Node": "/api/v1/nodes", "Pod": f"/api/v1/namespaces/{INIT}/pods"}
    for number in count():
        if not workload.churn:
            return
        for template in workload.churn:
            obj = copy_object(template)
            obj["metadata"]["name"] = f"churn-{number}"
            await server.send("POST", paths[obj["kind"]], obj)
        await asyncio.sleep(workload.churn_seconds)
        for template in workload.churn if workload.churn_goes else ():
            await server.send("DELETE", f"{paths[template['kind']]}/churn-{number}")


async def _post_all(server: Target, path: str, objects: Iterable[Object]) -> None:
    await _at_once(server.send("POST", path, obj) for obj in objects)


async def _at_once(requests: Iterator[Awaitable[object]]) -> None:
    """So many at a time, each begun when another is done."""

    async def work() -> None:
        for request in requests:
            await request

    workers: list[Awaitable[None]] = [work() for _ in range(CREATING)]
    await asyncio.gather(*workers)


def _on(template: Object, node_name: str) -> Object:
    return {**template, "spec": {**template["spec"], "nodeName": node_name}}
