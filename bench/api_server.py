"""What requests, watches and stored objects cost an API server.

Everything happens in a namespace of its own, which is deleted at the end.
"""

import asyncio
import time
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace

import orjson

from bench.target import ROUNDS, Cost, Target, connected
from kaa.api.objects import Object

NAMESPACE = "bench"
PODS = 5000
STORED_PODS = 10_000
WATCHERS = 500
WATCHED_EVENTS = 200
IDLE_WATCHERS = 2000
CONNECTING = 50
"""Watches opened at a time: each is a TLS handshake."""

SETTLE_SECONDS = 1.0
"""After much was freed or opened, before memory is read."""

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured: operations by the name of their row, and memory in bytes (None: not known)."""

    costs: dict[str, Cost]
    memory: dict[str, float | None]


def pod(index: int) -> Object:
    """About what a controller makes: 3.3 KB once it has its defaults and service-account volume."""
    return {
        "metadata": {"name": f"pod-{index}", "labels": {"app": "web", "tier": "front"}},
        "spec": {
            "schedulerName": "none",  # a pod for the API server alone: nobody is to run it
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example.com/team/web:1.2.3",
                    "ports": [{"containerPort": 8080, "name": "http"}],
                    "env": [{"name": f"VARIABLE_{n}", "value": "x" * 24} for n in range(12)],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                    "livenessProbe": {"httpGet": {"path": "/alive", "port": "http"}},
                }
            ],
        },
    }


async def measure(target: Target) -> Found:
    memory: dict[str, float | None] = {"idle": _resident(target)}
    here = f"/api/v1/namespaces/{NAMESPACE}"
    await target.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    try:
        costs = await _requests(target, here)
        costs["one event to one of 500 watchers"] = await _fan_out(target, f"{here}/secrets")
        for index in range(PODS, STORED_PODS):
            await target.send("POST", f"{here}/pods", pod(index))
        memory["10,000 pods stored"] = _resident(target)
        memory |= await _idle_watchers(target, here)
    finally:
        await target.send("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    return Found(costs, memory)


async def _requests(target: Target, here: str) -> dict[str, Cost]:
    accounts = orjson.loads(await target.send("GET", f"{here}/serviceaccounts"))["items"]
    if not accounts:  # no controllers beside this server
        await target.send("POST", f"{here}/serviceaccounts", {"metadata": {"name": "default"}})
    await target.send("POST", f"{here}/configmaps", {"metadata": {"name": "patched"}, "data": {"k": "v"}})
    applied: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}}
    apply_path = f"{here}/configmaps/applied?fieldManager=bench"
    return {
        "create a pod": await target.cost(PODS, lambda i: target.send("POST", f"{here}/pods", pod(i))),
        "GET a pod": await target.cost(PODS, lambda i: target.send("GET", f"{here}/pods/pod-{i}")),
        "LIST 5,000 pods": await target.cost(100, lambda i: target.send("GET", f"{here}/pods")),
        "LIST one page of 500": await target.cost(500, lambda i: target.send("GET", f"{here}/pods?limit=500")),
        "merge-patch a ConfigMap": await target.cost(
            3000, lambda i: target.send("PATCH", f"{here}/configmaps/patched", {"data": {"k": str(i)}}, MERGE_PATCH)
        ),
        "apply a ConfigMap": await target.cost(
            3000, lambda i: target.send("PATCH", apply_path, {**applied, "data": {"k": str(i)}}, APPLY_PATCH)
        ),
    }


async def _fan_out(target: Target, path: str) -> Cost:
    """Secrets are created while 500 watch them: CPU by event and watcher, latency from the request to each watcher."""
    sent: list[float] = []
    latencies: list[float] = []
    opening = asyncio.Semaphore(CONNECTING)
    opened, round_over = asyncio.Barrier(WATCHERS + 1), asyncio.Barrier(WATCHERS + 1)
    each = WATCHED_EVENTS // ROUNDS
    version = await target.resource_version(path)

    async def follow() -> None:
        async with opening:
            watch = await target.watch(path, version)
        async with watch:
            await opened.wait()
            for index in range(WATCHED_EVENTS):
                await watch.content.readline()
                latencies.append(time.perf_counter() - sent[index])
                if (index + 1) % each == 0:
                    await round_over.wait()

    rounds: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        for _ in range(WATCHERS):
            tasks.create_task(follow())
        await opened.wait()
        for start in range(0, WATCHED_EVENTS, each):
            before = target.cpu_seconds()
            for index in range(start, start + each):
                body: Object = {"metadata": {"name": f"s-{index}"}, "stringData": {"k": "v" * 400}}
                sent.append(time.perf_counter())
                await target.send("POST", path, body)
            await round_over.wait()
            rounds.append((target.cpu_seconds() - before) / (each * WATCHERS))
    return target.cost_of(rounds, latencies)


async def _idle_watchers(target: Target, here: str) -> dict[str, float | None]:
    """Bytes that each of 2,000 watches adds to the server: with the kubeconfig's credentials, and with a token.

    Each has a TLS connection of its own. All stay open until the end: what closed ones leave would be used again.
    """
    config = replace(target.config, client_certificate=b"", client_key=b"", token=await _token(target, here))
    async with connected(config, target.pids) as by_token, AsyncExitStack() as open_watches:
        return {
            "an idle watcher with a service account's token": await _added_by_watchers(by_token, here, open_watches),
            "an idle watcher with a client certificate": await _added_by_watchers(target, here, open_watches),
        }


async def _token(target: Target, here: str) -> str:
    """Of the namespace's default service account, which may watch from now on."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]
    await target.send("POST", f"{rbac}/roles", {"metadata": {"name": "watch"}, "rules": rules})
    binding: Object = {
        "metadata": {"name": "watch"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "watch"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}],
    }
    await target.send("POST", f"{rbac}/rolebindings", binding)
    answer = await target.send("POST", f"{here}/serviceaccounts/default/token", {"spec": {}})
    token: str = orjson.loads(answer)["status"]["token"]
    return token


async def _added_by_watchers(target: Target, here: str, open_watches: AsyncExitStack) -> float | None:
    path = f"{here}/configmaps"
    opening = asyncio.Semaphore(CONNECTING)
    version = await target.resource_version(path)
    await asyncio.sleep(SETTLE_SECONDS)
    before = _resident(target)

    async def open_one() -> None:
        async with opening:
            open_watches.enter_context(closing(await target.watch(path, version)))

    await asyncio.gather(*(open_one() for _ in range(IDLE_WATCHERS)))
    await asyncio.sleep(SETTLE_SECONDS)
    after = _resident(target)
    return (after - before) / IDLE_WATCHERS if before is not None and after is not None else None


def _resident(target: Target) -> int | None:
    return target.resident_bytes() if target.pids else None
