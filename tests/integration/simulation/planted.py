"""Planted bugs: each is a scenario in a cluster of which one part is wrong in one way.

Exploration is worth what it finds. Each invariant has a bug here that breaks it and that it must find. A part is made
wrong as a careless change would make it wrong: a controller's row that misreads a field, or forgets to watch; a
program that is left out; a component that is another one.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from tests.fakes.around import Around
from tests.integration.simulation.scenarios import (
    UNLESS_OTHERS_TAKE_PODS,
    cron_jobs,
    daemons,
    deletion,
    job,
    jobs,
    pod_template,
    quota,
    rolling_update,
    scheduling,
    stateful_set,
    workload,
)

from kaa.api.errors import APIError
from kaa.api.objects import Object, copy_object, is_being_deleted, name_of, namespace_of
from kaa.api.resource import Resource
from kaa.client.informer import Change, Informer
from kaa.client.rest import Client
from kaa.client.transport import Response, Transport
from kaa.cluster.simulation.component import Component, user_named
from kaa.cluster.simulation.control_plane import complete_options
from kaa.cluster.simulation.credentials import known_credentials
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.exploration import scenario
from kaa.cluster.simulation.standard_invariants import STANDARD, UNAMBIGUOUS
from kaa.controllers import Options, all_controllers, all_programs
from kaa.controllers.actions import Action, CreateAll, Delete, DeleteAll, Patch
from kaa.controllers.controller import Actions, Controller, View, next_action
from kaa.controllers.every_kind import ChangeHandler, GoneHandler
from kaa.controllers.garbage_collector import GarbageCollector
from kaa.controllers.namespace import NamespaceDeletion
from kaa.controllers.program import Context, Program
from kaa.controllers.runtime import ControllerManager
from kaa.lib.clock import Clock
from kaa.server.internal import RegistryWriter
from kaa.store.store import Put

Flaw = Callable[[Controller], Controller]
Programs = Callable[[Options], list[Callable[[Context], Program]]]

EVERYTHING = (*STANDARD, *UNAMBIGUOUS)
MANAGER = "kube-controller-manager"


def manager(
    flaws: Mapping[str, Flaw] | None = None,
    programs: Programs = all_programs,
    transport: Callable[[Transport, Clock], Transport] = lambda link, clock: link,
    name: str = MANAGER,
) -> Component:
    """A controller manager with `flaws` in the rows of those names, and without a lease."""

    async def run(client: Client, clock: Clock) -> None:
        options = complete_options(None, known_credentials(), clock)
        rows = [(flaws or {}).get(row.name, sound)(row) for row in all_controllers(options)]
        flawed = Client(transport(client.transport, clock))
        await ControllerManager(flawed, clock, rows, programs(options)).run()

    return Component(name, user_named("system:kube-controller-manager"), run)


def sound(row: Controller) -> Controller:
    return row


def misreading(*path: str, as_: Callable[[int], object]) -> Flaw:
    """It takes a field of the object for another value."""

    def flaw(row: Controller) -> Controller:
        def reconcile(obj: Object, view: View, now: datetime) -> Actions:
            seen = copy_object(obj)
            parent = seen
            for step in path[:-1]:
                parent = parent.setdefault(step, {})
            parent[path[-1]] = as_(parent.get(path[-1], 0))
            return row.reconcile(seen, view, now)

        return replace(row, reconcile=reconcile)

    return flaw


def acting(alter: Callable[[Action], Action | None]) -> Flaw:
    """It does something else than what was decided; None: nothing."""

    def flaw(row: Controller) -> Controller:
        def reconcile(obj: Object, view: View, now: datetime) -> Actions:
            decided = row.reconcile(obj, view, now)
            answer: APIError | None = None
            while (action := next_action(decided, answer)) is not None:
                done = alter(action)
                answer = None if done is None else (yield done)

        return replace(row, reconcile=reconcile)

    return flaw


def one_more(value: int) -> int:
    return value + 1


# Deployments and ReplicaSets


@scenario(nodes=2, controllers=False)
async def surges_one_too_many(c: AsyncCluster) -> None:
    c.world.add(manager({"deployment": misreading("spec", "strategy", "rollingUpdate", "maxSurge", as_=one_more)}))
    await rolling_update.run(c)


@scenario(nodes=2, controllers=False)
async def takes_one_too_many(c: AsyncCluster) -> None:
    path = ("spec", "strategy", "rollingUpdate", "maxUnavailable")
    c.world.add(manager({"deployment": misreading(*path, as_=one_more)}))
    await rolling_update.run(c)


@scenario(nodes=1, controllers=False, invariants=EVERYTHING)
async def makes_one_too_many(c: AsyncCluster) -> None:
    c.world.add(manager({"replicaset": misreading("spec", "replicas", as_=one_more)}))
    await rolling_update.run(c)


@scenario(nodes=1, controllers=False, invariants=UNLESS_OTHERS_TAKE_PODS)
async def does_not_see_pods_go(c: AsyncCluster) -> None:
    def comes_or_changes(old: Object | None, new: Object | None) -> bool:
        return new is not None and not is_being_deleted(new)

    def flaw(row: Controller) -> Controller:
        return replace(row, watches=tuple(replace(watch, when=comes_or_changes) for watch in row.watches))

    c.world.add(manager({"replicaset": flaw}))
    await c.apply(workload("Deployment", "web", pod_template("web"), replicas=2))
    await c.wait("deployment", "web", "Available")
    await c.delete("pod", name_of((await c.list("pod", namespace="default"))[0]))


# StatefulSets and DaemonSets


@scenario(nodes=2, controllers=False)
async def replaces_what_still_runs(c: AsyncCluster) -> None:
    def at_once(action: Action) -> Action:
        match action:
            case DeleteAll((pod,), announcement):
                return Delete(pod, grace_seconds=0, announcement=announcement)
        return action

    c.world.add(manager({"statefulset": acting(at_once)}))
    await stateful_set.run(c)


@scenario(nodes=2, controllers=False)
async def makes_two_of_an_ordinal(c: AsyncCluster) -> None:
    def nameless(action: Action) -> Action:
        match action:
            case CreateAll(pods, announcement):
                return CreateAll(tuple(map(without_name, pods)), announcement)
        return action

    def without_name(pod: Object) -> Object:
        metadata = {key: value for key, value in pod["metadata"].items() if key != "name"}
        return {**pod, "metadata": {**metadata, "generateName": f"{name_of(pod)}-"}}

    c.world.add(manager({"statefulset": acting(nameless)}))
    await stateful_set.run(c)


@scenario(nodes=2, controllers=False)
async def makes_all_ordinals_at_once(c: AsyncCluster) -> None:
    c.world.add(manager({"statefulset": misreading("spec", "podManagementPolicy", as_=lambda _: "Parallel")}))
    await stateful_set.run(c)


@scenario(nodes=3, controllers=False, invariants=EVERYTHING)
async def surges_daemons(c: AsyncCluster) -> None:
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    c.world.add(manager({"daemonset": misreading("spec", "updateStrategy", as_=lambda _: surge)}))
    await daemons.run(c)


# Jobs and CronJobs


@scenario(nodes=2, controllers=False, invariants=EVERYTHING)
async def runs_too_many_at_once(c: AsyncCluster) -> None:
    c.world.add(manager({"job": misreading("spec", "parallelism", as_=one_more)}))
    await jobs.run(c)


@scenario(nodes=2, controllers=False, invariants=EVERYTHING)
async def runs_one_too_often(c: AsyncCluster) -> None:
    c.world.add(manager({"job": misreading("spec", "completions", as_=one_more)}))
    await c.apply(job("many", pod_template("many", exit_after="3s"), completions=5, parallelism=2))


@scenario(nodes=2, controllers=False)
async def forgets_what_it_counted(c: AsyncCluster) -> None:
    c.world.add(manager({"job": misreading("status", "succeeded", as_=lambda _: 0)}))
    await jobs.run(c)


@scenario(nodes=2, controllers=False)
async def keeps_its_finalizers(c: AsyncCluster) -> None:
    def but_patches(action: Action) -> Action | None:
        return None if isinstance(action, Patch) else action

    c.world.add(manager({"job": acting(but_patches)}))
    await c.apply(job("one", pod_template("one", exit_after="1s")))
    await c.run_for(20)


@scenario(nodes=2, controllers=False, invariants=EVERYTHING)
async def two_lead(c: AsyncCluster) -> None:
    """Two controller managers, and no lease between them."""
    for identity in ("a", "b"):
        c.world.add(manager(name=f"{MANAGER}/{identity}"))
    template = pod_template("indexed", exit_after="3s")
    await c.apply(job("indexed", template, completions=3, parallelism=6, completionMode="Indexed"))
    await c.run_for(20)


@scenario(nodes=1, controllers=False)
async def starts_what_is_forbidden(c: AsyncCluster) -> None:
    c.world.add(manager({"cronjob": misreading("spec", "concurrencyPolicy", as_=lambda _: "Allow")}))
    await cron_jobs.run(c)


# Deletion


class WithoutPods:
    """Every kind, but nobody is told of pods."""

    def __init__(self, context: Context) -> None:
        self._all = context.every_kind
        self.resource, self.wait_synced = self._all.resource, self._all.wait_synced

    def subscribe(self, changed: ChangeHandler, gone: GoneHandler) -> None:
        def told(resource: Resource, change: Change) -> None:
            if resource.kind != "Pod":
                changed(resource, change)

        self._all.subscribe(told, gone)


@scenario(nodes=2, controllers=False)
async def collects_no_pods(c: AsyncCluster) -> None:
    def blind(context: Context) -> Program:
        return GarbageCollector(replace(context, every_kind=WithoutPods(context)))

    c.world.add(
        manager(programs=lambda options: [blind if p is GarbageCollector else p for p in all_programs(options)])
    )
    await deletion.run(c)


@scenario(nodes=2, controllers=False)
async def empties_no_namespace(c: AsyncCluster) -> None:
    c.world.add(manager(programs=lambda options: [p for p in all_programs(options) if p is not NamespaceDeletion]))
    await deletion.run(c)


# Services


@scenario(nodes=2, controllers=False)
async def does_not_see_pods_behind_services(c: AsyncCluster) -> None:
    def flaw(row: Controller) -> Controller:
        return replace(row, watches=tuple(watch for watch in row.watches if watch.kind != "Pod"), reads=("Pod", "Node"))

    c.world.add(manager({"endpointslice": flaw}))
    await rolling_update.run(c)


# The server, the scheduler, the kubelet


class RacingQuota(Around):
    """What it sends is a server's whose quota looks, waits for something else, and then writes."""

    def __init__(self, link: Transport, clock: Clock, reader: Client, writer: RegistryWriter) -> None:
        super().__init__(link)
        self._clock, self._reader, self._writer = clock, reader, writer

    async def request(self, method: str, path: str, **more: Any) -> Response:
        found = re.fullmatch(r"/api/v1/namespaces/(\w+)/pods", path)
        if method == "POST" and found is not None and await self._has_room(found[1]):
            await self._clock.sleep(0.01)
            return Response(201, {}, orjson.dumps(await self._writer.create("Pod", orjson.loads(more["body"]))))
        return await super().request(method, path, **more)

    async def _has_room(self, namespace: str) -> bool:
        quotas = (await self._reader.list("ResourceQuota", namespace)).items
        pods = (await self._reader.list("Pod", namespace)).items
        return all(len(pods) < int(quota["spec"]["hard"]["pods"]) for quota in quotas)


class GlossingOver(Around):
    """A deletion that is refused counts as done."""

    async def request(self, method: str, path: str, **more: Any) -> Response:
        answer = await super().request(method, path, **more)
        if method == "DELETE" and answer.status >= 400:
            return Response(200, {}, b'{"kind": "Status", "apiVersion": "v1", "status": "Success"}')
        return answer


@scenario(nodes=2, controllers=False)
async def races_past_a_quota(c: AsyncCluster) -> None:
    def racing(link: Transport, clock: Clock) -> Transport:
        return RacingQuota(link, clock, c.world.client, c.world.server.writer)

    c.world.add(manager(transport=racing))
    await quota.run(c)


@scenario(nodes=2, controllers=False)
async def takes_refusals_for_done(c: AsyncCluster) -> None:
    """Shows only where something fails: this one is found by faults."""
    c.world.add(manager(transport=lambda link, clock: GlossingOver(link)))
    c.faults.random(rate=1 / 10, kinds=("conflict", "error"), names=MANAGER, for_=60)
    await stateful_set.run(c)


@scenario(nodes=2, scheduler=False, invariants=UNLESS_OTHERS_TAKE_PODS)
async def binds_without_looking(c: AsyncCluster) -> None:
    async def schedule(client: Client, clock: Clock) -> None:
        """Everything to one node."""
        pods = Informer(client, "Pod", clock)
        unbound: asyncio.Queue[Object] = asyncio.Queue()
        pods.subscribe(lambda change: unbound.put_nowait(change.new) if change.new and not change.old else None)
        async with asyncio.TaskGroup() as group:
            group.create_task(pods.run())
            while True:
                pod = await unbound.get()
                binding = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "node-1"}}
                try:
                    await client.create_subresource("Pod", name_of(pod), namespace_of(pod), "binding", binding)
                except APIError:
                    continue  # it is bound, or gone

    c.world.add(Component("kube-scheduler", user_named("system:kube-scheduler"), schedule))
    await scheduling.run(c)


async def rewrite(c: AsyncCluster, pod: Object, change: Callable[[Object], None]) -> None:
    """As a server would that does not validate."""
    key = f"/registry/core/pods/{namespace_of(pod)}/{name_of(pod)}"
    found = await c.world.store.get(key)
    assert found is not None
    stored = orjson.loads(found.value)
    change(stored)
    await c.world.store.txn((), (Put(key, orjson.dumps(stored)),))


async def one_pod(c: AsyncCluster, **annotations: str) -> Object:
    template = pod_template("one", **annotations)
    template["spec"]["restartPolicy"] = "Never"
    await c.apply({"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "one"}})
    await c.run_for(10)
    return await c.get("pod", "one")


@scenario(nodes=2)
async def binds_a_second_time(c: AsyncCluster) -> None:
    await rewrite(c, await one_pod(c), lambda pod: pod["spec"].update(nodeName="elsewhere"))
    await c.run_for(1)


@scenario(nodes=1)
async def revives_what_has_ended(c: AsyncCluster) -> None:
    pod = await one_pod(c, exit_after="1s")
    assert pod["status"]["phase"] == "Succeeded"
    await rewrite(c, pod, lambda pod: pod["status"].update(phase="Running"))
    await c.run_for(1)
