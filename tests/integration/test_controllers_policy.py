"""Quotas, budgets, roles and other rules of a cluster, against the real server, in one process and in virtual time."""

import asyncio
from typing import Any

from tests.integration.controlled import running, virtual

from kaa.api.errors import APIError
from kaa.api.objects import condition
from kaa.controllers.runtime import run_controller_manager


@virtual
async def test_a_quota_says_what_is_used() -> None:
    """Pods by what they ask for, others by number, custom kinds too; and less again when they go."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        hard = {"pods": "5", "requests.cpu": "2", "secrets": "3", "count/configmaps": "4"}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}}
        await cluster.client.create({**quota, "spec": {"hard": hard}})
        container = {"name": "c", "image": "example/c", "resources": {"requests": {"cpu": "300m"}}}
        for kind, more in (("Pod", {"spec": {"containers": [container]}}), ("Secret", {}), ("ConfigMap", {})):
            metadata = {"name": "one", "namespace": "default"}
            await cluster.client.create({"apiVersion": "v1", "kind": kind, "metadata": metadata, **more})

        async def used(expected: dict[str, str]) -> bool:
            found = await cluster.client.get("ResourceQuota", "q", "default")
            return bool((found.get("status") or {}).get("used") == expected)

        full = {"pods": "1", "requests.cpu": "300m", "secrets": "1", "count/configmaps": "2"}
        await cluster.until(lambda: used(full), "counted")
        await cluster.client.delete("Secret", "one", "default")
        await cluster.client.delete("Pod", "one", "default", grace_seconds=0)
        less = {"pods": "0", "requests.cpu": "0", "secrets": "0", "count/configmaps": "2"}
        await cluster.until(lambda: used(less), "counted again", 2)


@virtual
async def test_a_budget_follows_its_pods() -> None:
    """What an eviction will be allowed is known as soon as the pods are ready."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        selector: dict[str, Any] = {"matchLabels": {"app": "web"}}
        metadata = {"name": "web", "namespace": "default"}
        spec = {"replicas": 3, "selector": selector, "template": template}
        await cluster.client.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec})
        budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata}
        await cluster.client.create({**budget, "spec": {"selector": selector, "maxUnavailable": "34%"}})

        async def allowed() -> Any:
            status = (await cluster.client.get("PodDisruptionBudget", "web", "default"))["status"]
            return status if status.get("disruptionsAllowed") else None

        status = await cluster.until(allowed, "disruptions are allowed")
        assert (status["disruptionsAllowed"], status["desiredHealthy"], status["expectedPods"]) == (2, 1, 3)
        assert condition(status["conditions"], "DisruptionAllowed")["status"] == "True"


@virtual
async def test_a_role_is_aggregated() -> None:
    """A new role's rules show in the one that selects it."""
    async with running() as cluster:
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
        rule = {"clusterRoleSelectors": [{"matchLabels": {"to-all": "true"}}]}
        await cluster.client.create({**role, "metadata": {"name": "all"}, "aggregationRule": rule, "rules": []})
        rules = [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}]
        await cluster.client.create({**role, "metadata": {"name": "w", "labels": {"to-all": "true"}}, "rules": rules})

        async def aggregated() -> bool:
            return bool((await cluster.client.get("ClusterRole", "all"))["rules"] == rules)

        await cluster.until(aggregated, "aggregated", 5)


@virtual
async def test_of_two_managers_one_works() -> None:
    """The other takes over when the first ends, and nothing is done twice meanwhile."""
    async with running() as cluster:
        # The fixture's own manager does without a lease: these two are for their own sake.
        managers = {
            name: asyncio.ensure_future(run_controller_manager(cluster.client, cluster.clock, identity=name))
            for name in ("a", "b")
        }

        async def holder() -> str:
            try:
                lease = await cluster.client.get("Lease", "kube-controller-manager", "kube-system")
            except APIError:
                return ""
            return str(lease["spec"].get("holderIdentity", ""))

        first = await cluster.until(holder, "one leads", 10)
        await cluster.clock.sleep(60)
        assert await holder() == first
        managers[first].cancel()
        await asyncio.wait([managers[first]])

        async def other() -> bool:
            return await holder() not in ("", first)

        await cluster.until(other, "the other leads", 10)
        for manager in managers.values():
            manager.cancel()
        await asyncio.wait(managers.values())
