"""What holds in every Kubernetes, whatever fails and in whatever order things happen.

Those of `ALWAYS` are promised at every moment, those of `AT_REST` once nothing more happens. `UNAMBIGUOUS` are as well
promised at every moment, unless a write may have taken effect without its writer's knowing (errors of the store,
partitions): whoever then writes again makes one too many, and takes it back. Upstream's controllers do that, too.

What is counted are pods that are *active*: neither finished nor on their way out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import ceil, floor
from typing import Any

from kaa.api.objects import Object, controller_of, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from kaa.api.pod_resources import pod_total, quantities
from kaa.api.quantity import Quantity, parse_quantity
from kaa.api.selectors import selector_of_labels
from kaa.cluster.simulation.invariants import Invariant, Moment, invariant
from kaa.controllers.pods import is_active, is_ready, is_terminal

ONE = parse_quantity(1)
ORDINAL = "apps.kubernetes.io/pod-index"

# Deployments


@invariant("ReplicaSet.apps")
def never_above_max_surge(moment: Moment) -> Iterator[str]:
    """A Deployment's ReplicaSets together never ask for more than `replicas` + maxSurge."""
    deployment = _raised(moment)
    if deployment is None:
        return
    limit = max(map(_with_surge, moment.objects.promised(deployment)))
    asked = sum(rs["spec"].get("replicas", 1) for rs in moment.objects.owned(deployment, "ReplicaSet.apps"))
    if asked > limit:
        yield f"the ReplicaSets of {_full_name(deployment)} ask for {asked} pods; at most {limit} are allowed"


def _raised(moment: Moment) -> Object | None:
    """The Deployment of a ReplicaSet that asks for more than before."""
    if moment.new is None:
        return None
    before = moment.old["spec"].get("replicas", 1) if moment.old is not None else 0
    if moment.new["spec"].get("replicas", 1) <= before:
        return None
    return moment.objects.controller(moment.new, "Deployment")


def _with_surge(spec: Object) -> int:
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    replicas: int = spec.get("replicas", 1)
    return replicas + _scaled(rolling.get("maxSurge", 0), replicas, up=True)


@invariant("Pod")
def never_below_max_unavailable(moment: Moment) -> Iterator[str]:
    """A rollout takes no ready pod away when fewer than `replicas` - maxUnavailable would be left."""
    if moment.old is None or not _counts(moment.old) or (moment.new is not None and not is_being_deleted(moment.new)):
        return
    replica_set = moment.objects.controller(moment.old, "ReplicaSet")
    deployment = moment.objects.controller(replica_set, "Deployment") if replica_set is not None else None
    if replica_set is None or deployment is None or _is_going(moment, deployment) or _is_going(moment, replica_set):
        return
    least = min(map(_least_available, moment.objects.promised(deployment)))
    sets = moment.objects.owned(deployment, "ReplicaSet.apps")
    left = sum(_counts(pod) for rs in sets for pod in moment.objects.owned(rs, "Pod"))
    if left + 1 == least:  # more are missing only when something else has taken them
        gone = name_of(moment.old)
        yield f"{gone} of {_full_name(deployment)} was taken away: {left} ready pods are left of at least {least}"


def _is_going(moment: Moment, obj: Object) -> bool:
    """Whether it, or its namespace, is being deleted, and all below it."""
    namespace = moment.objects.get("Namespace", namespace_of(obj))
    return is_being_deleted(obj) or namespace is None or is_being_deleted(namespace)


def _counts(pod: Object) -> bool:
    return is_active(pod) and is_ready(pod)


def _least_available(spec: Object) -> int:
    rolling = (spec.get("strategy") or {}).get("rollingUpdate")
    replicas: int = spec.get("replicas", 1)
    if rolling is None:
        return 0
    surge = _scaled(rolling.get("maxSurge", 0), replicas, up=True)
    unavailable = _scaled(rolling.get("maxUnavailable", 0), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # percentages that both come to nothing
    return max(0, replicas - unavailable)


def _scaled(value: Any, total: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    exact = int(str(value).removesuffix("%")) * total / 100
    return ceil(exact) if up else floor(exact)


@invariant("Pod")
def never_above_replicas(moment: Moment) -> Iterator[str]:
    """A ReplicaSet never makes a pod when it has as many active ones as it asks for."""
    if not moment.created or moment.new is None:
        return
    owner = moment.objects.controller(moment.new, "ReplicaSet")
    if owner is None:
        return
    limit = max(spec.get("replicas", 1) for spec in moment.objects.promised(owner))
    active = sum(is_active(pod) for pod in moment.objects.owned(owner, "Pod"))
    if active > limit:
        yield f"{_full_name(owner)} has {active} active pods; at most {limit} are allowed"


# Other workloads


@invariant("Pod")
def one_pod_an_ordinal(moment: Moment) -> Iterator[str]:
    """A StatefulSet's pod is made only when there is none of its ordinal, and removed only when its containers have
    ended, or its node is gone.

    A name has one object at a time; that it has one *running* pod at a time depends on the end of the one before.
    """
    if moment.created and moment.new is not None:
        yield from _namesakes(moment, moment.new)
    if moment.new is not None or moment.old is None or not _is_of(moment.old, "StatefulSet"):
        return
    node = moment.old["spec"].get("nodeName", "")
    if not node or is_terminal(moment.old) or moment.objects.get("Node", node) is None:
        return
    running = [
        status["name"]
        for status in moment.old.get("status", {}).get("containerStatuses") or ()
        if "running" in (status.get("state") or {})
    ]
    if running or not is_being_deleted(moment.old):
        yield f"{_full_name(moment.old)} was removed while {', '.join(running) or 'it'} ran on {node}"


def _namesakes(moment: Moment, pod: Object) -> Iterator[str]:
    owner = moment.objects.controller(pod, "StatefulSet")
    ordinal = labels_of(pod).get(ORDINAL)
    if owner is None or ordinal is None:
        return
    there = [name_of(other) for other in moment.objects.owned(owner, "Pod") if labels_of(other).get(ORDINAL) == ordinal]
    if len(there) > 1:
        yield f"{_full_name(owner)} has {len(there)} pods of the ordinal {ordinal}: {', '.join(sorted(there))}"


@invariant("Pod")
def ordinals_in_order(moment: Moment) -> Iterator[str]:
    """With OrderedReady, a pod is made only when all those of lower ordinals are there, and ready."""
    if not moment.created or moment.new is None:
        return
    owner = moment.objects.controller(moment.new, "StatefulSet")
    if owner is None or owner["spec"].get("podManagementPolicy", "OrderedReady") != "OrderedReady":
        return
    start = (owner["spec"].get("ordinals") or {}).get("start", 0)
    for ordinal in range(start, int(labels_of(moment.new)[ORDINAL])):
        name = f"{name_of(owner)}-{ordinal}"
        lower = moment.objects.get("Pod", name, namespace_of(owner))
        if lower is None or not is_ready(lower):
            yield f"{name_of(moment.new)} was made while {name} was {'not ready' if lower else 'missing'}"


@invariant("Pod")
def one_daemon_a_node(moment: Moment) -> Iterator[str]:
    """A DaemonSet without surge never has two active pods on a node."""
    if not moment.created or moment.new is None:
        return
    owner = moment.objects.controller(moment.new, "DaemonSet")
    if owner is None or any(_daemon_surges(spec) for spec in moment.objects.promised(owner)):
        return
    nodes = Counter(_wanted_node(pod) for pod in moment.objects.owned(owner, "Pod") if is_active(pod))
    node = _wanted_node(moment.new)
    if nodes[node] > 1:
        yield f"{_full_name(owner)} has {nodes[node]} pods for {node}"


def _daemon_surges(spec: Object) -> bool:
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    return rolling.get("maxSurge", 0) not in (0, "0%")


def _wanted_node(pod: Object) -> str:
    """A daemon's pod names its node in its affinity, before it is bound."""
    required = (
        pod["spec"]
        .get("affinity", {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            name: str = field["values"][0]
            return name
    bound: str = pod["spec"].get("nodeName", "")
    return bound


@invariant("Pod")
def never_above_parallelism(moment: Moment) -> Iterator[str]:
    """A Job never has more active pods than `parallelism`, nor makes one once it has finished."""
    if not moment.created or moment.new is None:
        return
    job = moment.objects.controller(moment.new, "Job")
    if job is None:
        return
    if finished := _finished(job):
        yield f"{name_of(moment.new)} was made after {_full_name(job)} was {finished}"
    limit = max(spec.get("parallelism", 1) for spec in moment.objects.promised(job))
    active = sum(is_active(pod) for pod in moment.objects.owned(job, "Pod"))
    if active > limit:
        yield f"{_full_name(job)} has {active} active pods; at most {limit} are allowed"


@invariant("Pod")
def one_pod_an_index(moment: Moment) -> Iterator[str]:
    """An Indexed Job never has two active pods of one index, nor makes one for an index that has succeeded."""
    if not moment.created or moment.new is None:
        return
    job = moment.objects.controller(moment.new, "Job")
    if job is None or job["spec"].get("completionMode") != "Indexed":
        return
    index = _index(moment.new)
    others = [pod for pod in moment.objects.owned(job, "Pod") if _index(pod) == index and pod is not moment.new]
    if any(is_active(pod) or pod.get("status", {}).get("phase") == "Succeeded" for pod in others):
        yield f"{name_of(moment.new)} was made for index {index} of {_full_name(job)}, which has a pod"


def _index(pod: Object) -> str:
    index: str = (pod["metadata"].get("annotations") or {}).get("batch.kubernetes.io/job-completion-index", "")
    return index


@invariant("Job.batch")
def jobs_only_progress(moment: Moment) -> Iterator[str]:
    """What a Job has counted stays counted; once finished it stays so."""
    if moment.old is None or moment.new is None or uid_of(moment.old) != uid_of(moment.new):
        return
    before, after = moment.old.get("status") or {}, moment.new.get("status") or {}
    for count in ("succeeded", "failed"):
        if after.get(count, 0) < before.get(count, 0):
            yield f"{_full_name(moment.new)}: {count} went from {before[count]} to {after.get(count, 0)}"
    if (was := _finished(moment.old)) and _finished(moment.new) != was:
        yield f"{_full_name(moment.new)} was {was}, and is no longer"


@invariant("Job.batch")
def never_above_completions(moment: Moment) -> Iterator[str]:
    """A Job has no more successes than completions."""
    if moment.new is None or (completions := moment.new["spec"].get("completions")) is None:
        return
    succeeded = (moment.new.get("status") or {}).get("succeeded", 0)
    if succeeded > completions:
        yield f"{_full_name(moment.new)} counts {succeeded} successes of {completions}"


def _finished(job: Object) -> str:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), "")


@invariant("Job.batch")
def forbidden_jobs_do_not_overlap(moment: Moment) -> Iterator[str]:
    """A CronJob that forbids concurrency never has two unfinished Jobs."""
    if not moment.created or moment.new is None:
        return
    owner = moment.objects.controller(moment.new, "CronJob")
    if owner is None or any(spec.get("concurrencyPolicy") != "Forbid" for spec in moment.objects.promised(owner)):
        return
    unfinished = [name_of(job) for job in moment.objects.owned(owner, "Job.batch") if not _finished(job)]
    if len(unfinished) > 1:
        yield f"{_full_name(owner)} has {len(unfinished)} unfinished Jobs: {', '.join(sorted(unfinished))}"


# Pods and nodes


@invariant("Pod")
def bound_once(moment: Moment) -> Iterator[str]:
    """A pod stays on the node that it was bound to."""
    if moment.old is None or moment.new is None:
        return
    before, after = (pod["spec"].get("nodeName", "") for pod in (moment.old, moment.new))
    if before and before != after:
        yield f"{_full_name(moment.new)} was bound to {before}, then to {after or 'no node'}"


@invariant("Pod")
def never_overcommitted(moment: Moment) -> Iterator[str]:
    """A pod is bound only where there is room for what it asks."""
    if moment.new is None or not (name := moment.new["spec"].get("nodeName")):
        return
    node = moment.objects.get("Node", name)
    if node is None or (moment.old is not None and moment.old["spec"].get("nodeName")):
        return
    room = quantities((node.get("status") or {}).get("allocatable"))
    asked: dict[str, Quantity] = defaultdict(lambda: Quantity(0))
    for pod in moment.objects.list("Pod"):
        if pod["spec"].get("nodeName") == name and not is_terminal(pod):
            asked["pods"] += ONE
            for resource, amount in pod_total(pod, "requests").items():
                asked[resource] += amount
    for resource, amount in asked.items():
        if resource in room and amount > room[resource]:
            yield f"{name} has room for {room[resource]} of {resource}; its pods ask for {amount}"


@invariant("Pod")
def ended_is_ended(moment: Moment) -> Iterator[str]:
    """A pod that has Succeeded or Failed stays so, and one that is being deleted does not come back."""
    if moment.old is None or moment.new is None or uid_of(moment.old) != uid_of(moment.new):
        return
    before, after = (pod.get("status", {}).get("phase") for pod in (moment.old, moment.new))
    if is_terminal(moment.old) and before != after:
        yield f"{_full_name(moment.new)} was {before}, and then {after}"
    if is_being_deleted(moment.old) and not is_being_deleted(moment.new):
        yield f"{_full_name(moment.new)} was being deleted, and is no longer"


@invariant("Pod")
def quota_never_exceeded(moment: Moment) -> Iterator[str]:
    """No pod gets into a namespace past its ResourceQuotas (those without scopes), as they are or just were."""
    if not moment.created or moment.new is None:
        return
    namespace = namespace_of(moment.new)
    for quota in moment.objects.list("ResourceQuota", namespace):
        allowed, before = (quantities((quota.get(part) or {}).get("hard")) for part in ("spec", "status"))
        if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
            continue
        used: dict[str, Quantity] = defaultdict(lambda: Quantity(0))
        for pod in moment.objects.list("Pod", namespace):
            if not is_terminal(pod):
                used["pods"] += ONE
                for resource, amount in pod_total(pod, "requests").items():
                    used[f"requests.{resource}"] += amount
        for resource, limit in before.items():
            limit = max(limit, allowed.get(resource, limit))
            if used[resource] > limit:
                yield f"{_full_name(quota)} allows {limit} of {resource}; {used[resource]} are used"


# At the end


@invariant()
def no_orphans(moment: Moment) -> Iterator[str]:
    """Whose owners are all gone is gone as well."""
    uids = {uid_of(obj) for obj in moment.objects.every()}
    for obj in moment.objects.every():
        owners = obj["metadata"].get("ownerReferences") or ()
        if owners and not any(owner["uid"] in uids for owner in owners):
            yield f"{obj.get('kind')} {_full_name(obj)} is left of {owners[0]['kind']} {owners[0]['name']}"


@invariant()
def nothing_is_stuck(moment: Moment) -> Iterator[str]:
    """What was to be deleted is gone; no object is in a namespace that isn't there."""
    namespaces = {name_of(namespace) for namespace in moment.objects.list("Namespace")}
    for obj in moment.objects.every():
        if is_being_deleted(obj):
            kept = obj["metadata"].get("finalizers") or (obj.get("spec") or {}).get("finalizers") or ()
            yield f"{obj.get('kind')} {_full_name(obj)} is still being deleted; finalizers: {', '.join(kept) or 'none'}"
        if (namespace := namespace_of(obj)) and namespace not in namespaces:
            yield f"{obj.get('kind')} {_full_name(obj)} is left in namespace {namespace}, which is gone"


@invariant()
def no_pod_is_lost(moment: Moment) -> Iterator[str]:
    """Every workload has as many pods as it asks for; each is ready, and of the newest template."""
    for kind in ("ReplicaSet.apps", "StatefulSet.apps", "ReplicationController"):
        for owner in moment.objects.list(kind):
            wanted = owner["spec"].get("replicas", 1)
            active = [pod for pod in moment.objects.owned(owner, "Pod") if is_active(pod)]
            ready = sum(map(is_ready, active))
            if len(active) != wanted or ready != wanted:
                yield f"{kind} {_full_name(owner)} has {len(active)} pods, {ready} of them ready; it asks for {wanted}"
    for deployment in moment.objects.list("Deployment.apps"):
        wanted = deployment["spec"].get("replicas", 1)
        status = deployment.get("status") or {}
        counts = {field: status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")}
        if set(counts.values()) != {wanted}:
            yield f"Deployment {_full_name(deployment)} asks for {wanted} pods; its status says {counts}"


@invariant()
def jobs_are_done(moment: Moment) -> Iterator[str]:
    """A Job that is complete has counted all its completions, and holds none of its pods back by a finalizer."""
    for job in moment.objects.list("Job.batch"):
        status, completions = job.get("status") or {}, job["spec"].get("completions")
        finished = _finished(job)
        if not finished and not job["spec"].get("suspend"):
            yield f"{_full_name(job)} is not finished: {status}"
        if finished == "Complete" and completions is not None and status.get("succeeded", 0) < completions:
            yield f"{_full_name(job)} is complete with {status.get('succeeded', 0)} of {completions} successes"
        for pod in moment.objects.owned(job, "Pod"):
            if finished and "batch.kubernetes.io/job-tracking" in (pod["metadata"].get("finalizers") or ()):
                yield f"{_full_name(pod)} still has the finalizer of {_full_name(job)}, which is {finished}"


@invariant()
def services_lead_to_their_pods(moment: Moment) -> Iterator[str]:
    """A Service's EndpointSlices name exactly its ready pods."""
    for service in moment.objects.list("Service"):
        if not (wanted := service["spec"].get("selector")):
            continue
        namespace = namespace_of(service)
        selector = selector_of_labels(wanted)
        ready = {
            name_of(pod)
            for pod in moment.objects.list("Pod", namespace)
            if selector.matches(labels_of(pod)) and is_active(pod) and is_ready(pod)
        }
        named = {
            endpoint["targetRef"]["name"]
            for part in moment.objects.list("EndpointSlice.discovery.k8s.io", namespace)
            if labels_of(part).get("kubernetes.io/service-name") == name_of(service)
            for endpoint in part.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready")
        }
        if ready != named:
            yield f"Service {_full_name(service)} leads to {sorted(named)}; its ready pods are {sorted(ready)}"


def _is_of(pod: Object, kind: str) -> bool:
    reference = controller_of(pod)
    return reference is not None and reference["kind"] == kind


def _full_name(obj: Object) -> str:
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


ALWAYS: tuple[Invariant, ...] = (
    never_above_max_surge,
    never_below_max_unavailable,
    one_pod_an_ordinal,
    ordinals_in_order,
    jobs_only_progress,
    forbidden_jobs_do_not_overlap,
    bound_once,
    never_overcommitted,
    ended_is_ended,
    quota_never_exceeded,
)

UNAMBIGUOUS: tuple[Invariant, ...] = (
    never_above_replicas,
    one_daemon_a_node,
    never_above_parallelism,
    never_above_completions,
    one_pod_an_index,
)

AT_REST: tuple[Invariant, ...] = (
    no_orphans,
    nothing_is_stuck,
    no_pod_is_lost,
    jobs_are_done,
    services_lead_to_their_pods,
)

STANDARD: tuple[Invariant, ...] = (*ALWAYS, *AT_REST)
