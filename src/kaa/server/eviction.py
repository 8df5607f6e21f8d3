"""pods/eviction: a DELETE that the pod's disruption budget must allow.

A pod that is ready counts as healthy, and takes one of the disruptions that its budget allows. One that is not ready
disrupts nothing when it goes, as long as the budget has what it needs, or says that such pods may always go; it must
still be unready when it is deleted then. Source: upstream's EvictionREST; KEP-3017.
"""

from collections.abc import Iterator
from dataclasses import replace

from kaa.api.errors import APIError, Cause, conflict
from kaa.api.objects import Object, condition
from kaa.api.resource import Resource
from kaa.api.selectors import selector_of
from kaa.lib.clock import Clock, rfc3339
from kaa.server.bodies import decode_object
from kaa.server.chain import Reader
from kaa.server.deletion import DeleteOptions
from kaa.server.negotiation import respond
from kaa.server.object_meta import settle_name
from kaa.server.registry import server_write
from kaa.server.request import Attributes, Request, Response
from kaa.server.storage import decode
from kaa.server.verbs import Verbs

EVICTION = Resource(kind="Eviction", group="policy", version="v1")
BUDGET = "PodDisruptionBudget"

SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

RETRY_SECONDS = 10


class Evictions:
    def __init__(self, verbs: Verbs, reader: Reader, clock: Clock) -> None:
        self._verbs = verbs
        self._reader = reader
        self._clock = clock

    async def evict(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        """Raises TooManyRequests when the budget does not allow it; Conflict when the pod became ready meanwhile."""
        write = self._verbs.write(request, attributes)
        eviction = decode_object(request, EVICTION, write.warnings)
        settle_name(eviction, attributes.name)
        options = DeleteOptions.of(eviction.get("deleteOptions") or {})
        registry, namespace, name = self._verbs.registry, attributes.namespace, attributes.name
        pod = decode(resource, (await registry.entry(resource, namespace, name)).item)
        write = replace(write, dry_run=write.dry_run or options.dry_run)
        budget = self._budget(pod) if needs_budget(pod) else None
        stays_unready = budget is not None and not is_guarded(pod, budget)
        if budget is not None and not stays_unready:
            await self._charge(budget, name, write.dry_run)

        def marked(found: Object) -> Object:
            if stays_unready and is_ready(found):
                raise conflict(resource.name, resource.group, name, "the pod has become ready")
            return with_target(found, rfc3339(self._clock.now()))

        written = await registry.update(resource, namespace, name, marked, write, subresource="status")
        if stays_unready and not write.dry_run:
            version = decode(resource, written.item)["metadata"]["resourceVersion"]
            options = replace(options, resource_version=version)
        deleting = replace(write, attributes=replace(attributes, verb="delete", subresource=""))
        await registry.delete(resource, namespace, name, options, deleting)
        return self._verbs.warned(respond(SUCCESS, 201), write)

    def _budget(self, pod: Object) -> Object | None:
        budgets = list(budgets_of(pod, self._reader.list(BUDGET, pod["metadata"]["namespace"])))
        if len(budgets) > 1:
            why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise APIError("InternalError", why)
        return budgets[0] if budgets else None

    async def _charge(self, budget: Object, pod: str, dry_run: bool) -> None:
        """Takes one disruption of the budget as it is stored now: the cache may not know of the last one yet."""
        rows = self._verbs.catalog.named(BUDGET)
        namespace, name = budget["metadata"]["namespace"], budget["metadata"]["name"]
        write = replace(server_write(rows, "update", namespace, name), dry_run=dry_run)
        now = rfc3339(self._clock.now())
        await self._verbs.registry.update(
            rows, namespace, name, lambda found: disrupted(found, pod, now), write, subresource="status"
        )


def needs_budget(pod: Object) -> bool:
    """Pods that do not run, or not yet, disrupt nothing when they go; nor do those that are going already."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Pending", "Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")


def budgets_of(pod: Object, budgets: list[Object]) -> Iterator[Object]:
    labels = pod["metadata"].get("labels") or {}
    return (budget for budget in budgets if selector_of(budget.get("spec", {}).get("selector")).matches(labels))


def is_ready(pod: Object) -> bool:
    found = condition((pod.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found.get("status") == "True"


def is_guarded(pod: Object, budget: Object) -> bool:
    """Whether the pod may only go at the cost of a disruption."""
    if is_ready(pod):
        return True
    if budget.get("spec", {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    status = budget.get("status") or {}
    return not status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0


def with_target(pod: Object, now: str) -> Object:
    """The pod with the reason why it ends: a Job tells such an end from the pod's own failure."""
    target: Object = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    target |= {"message": "Eviction API: evicting", "lastTransitionTime": now}
    status = pod.get("status") or {}
    kept = [c for c in status.get("conditions") or () if c["type"] != target["type"]]
    return {**pod, "status": {**status, "conditions": [*kept, target]}}


def disrupted(budget: Object, pod: str, now: str) -> Object:
    """The budget with one disruption used. Raises TooManyRequests when none is left."""
    name = budget["metadata"]["name"]
    status = budget.get("status") or {}
    stale = status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0)
    allowed = 0 if stale else status.get("disruptionsAllowed", 0)
    if allowed <= 0:
        desired, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        why = f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        if stale:
            why = f"The disruption budget {name} is still being processed by the server."
        raise APIError(
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
            causes=[Cause("DisruptionBudget", why)],
            retry_after_seconds=RETRY_SECONDS if stale else 0,
        )
    disrupted_pods = {**(status.get("disruptedPods") or {}), pod: now}
    return {**budget, "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted_pods}}
