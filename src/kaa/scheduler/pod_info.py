"""What the scheduler needs to know of a pod, taken out of the object once; the object itself is not kept.

Amounts are integers: cpu in millicores, all else in units (bytes, devices). A pod's request for a resource is the
larger of what its containers need together and what any init container needs while it runs, plus its overhead;
sidecars (init containers that stay) count with both. Requests set for the whole pod come before all that.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from sys import intern
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import orjson

from kaa.api.objects import Object, condition, controller_of, labels_of, name_of, namespace_of, uid_of
from kaa.api.quantity import parse_quantity
from kaa.api.selectors import Selector, selector_of

CPU = "cpu"
MEMORY = "memory"
UNITS_PER_ONE = {CPU: 1000}

DEFAULT_REQUESTS = {CPU: 100, MEMORY: 200 * 1024 * 1024}
"""What a container that requests nothing is taken to use when nodes are compared by their load, as upstream's."""

Amounts: TypeAlias = dict[str, int]

Key: TypeAlias = tuple[str, str]
"""A pod's (namespace, name)."""


@dataclass(frozen=True, slots=True)
class HostPort:
    address: str
    protocol: str
    port: int


ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class PodTerm:
    """A PodAffinityTerm: which pods are meant, and the node label whose equal values mean "together"."""

    topology_key: str
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector | None = None  # further namespaces, by their labels


@dataclass(frozen=True, slots=True)
class Weighted:
    weight: int
    term: PodTerm


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Rule:
    """An affinity rule of a bound pod as seen by others: weight 0 forbids, others attract or (negative) repel.

    None is a required affinity, which attracts as much as the plugin is told. Made by `rule_of` alone: then equal rules
    are one and the same object, which is found fast.
    """

    term: PodTerm
    weight: int | None


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """A topologySpreadConstraint. `hard` is DoNotSchedule."""

    topology_key: str
    max_skew: int
    hard: bool
    selector: Selector
    min_domains: int = 1
    honour_affinity: bool = True
    honour_taints: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller of a pod, in the pod's namespace."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True, kw_only=True)
class PodShape:
    """All that decides where a pod may go. Pods made from one template share one shape, and are decided alike."""

    namespace: str
    labels: Mapping[str, str]
    scheduler_name: str
    priority: int
    preemption_policy: str
    requests: Amounts
    nonzero: tuple[int, int]  # cpu and memory, with defaults for containers that request none
    nonzero_of_containers: tuple[int, int]  # the same without what is requested for the pod as a whole
    ports: tuple[HostPort, ...] = ()
    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    preferred_affinity: tuple[Weighted, ...] = ()
    preferred_anti_affinity: tuple[Weighted, ...] = ()
    spread: tuple[SpreadConstraint, ...] = ()
    tolerations: tuple[Object, ...] = ()
    node_selector: Mapping[str, str]
    node_affinity: Mapping[str, Any]
    images: tuple[str, ...] = ()
    volumes: tuple[Object, ...] = ()  # of the sources that can tie a pod to nodes; see PLACED_VOLUMES
    resource_claims: tuple[Object, ...] = ()
    scheduling_group: Mapping[str, Any]
    owner: Owner | None = None
    features: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()  # of all four sorts of terms


@dataclass(frozen=True, slots=True, eq=False)
class PodInfo:
    """One pod: its shape, and what is its own. Of these there may be 150,000."""

    key: Key
    uid: str
    shape: PodShape
    node_name: str = ""
    nominated_node_name: str = ""
    gates: tuple[str, ...] = ()
    created_at: str = ""
    started_at: str = ""
    terminating: bool = False

    @property
    def namespace(self) -> str:
        return self.key[0]

    @property
    def name(self) -> str:
        return self.key[1]

    @property
    def labels(self) -> Mapping[str, str]:
        return self.shape.labels

    @property
    def scheduler_name(self) -> str:
        return self.shape.scheduler_name

    @property
    def priority(self) -> int:
        return self.shape.priority

    @property
    def preemption_policy(self) -> str:
        return self.shape.preemption_policy

    @property
    def requests(self) -> Amounts:
        return self.shape.requests

    @property
    def nonzero(self) -> tuple[int, int]:
        return self.shape.nonzero

    @property
    def nonzero_of_containers(self) -> tuple[int, int]:
        return self.shape.nonzero_of_containers

    @property
    def ports(self) -> tuple[HostPort, ...]:
        return self.shape.ports

    @property
    def affinity(self) -> tuple[PodTerm, ...]:
        return self.shape.affinity

    @property
    def anti_affinity(self) -> tuple[PodTerm, ...]:
        return self.shape.anti_affinity

    @property
    def preferred_affinity(self) -> tuple[Weighted, ...]:
        return self.shape.preferred_affinity

    @property
    def preferred_anti_affinity(self) -> tuple[Weighted, ...]:
        return self.shape.preferred_anti_affinity

    @property
    def spread(self) -> tuple[SpreadConstraint, ...]:
        return self.shape.spread

    @property
    def tolerations(self) -> tuple[Object, ...]:
        return self.shape.tolerations

    @property
    def node_selector(self) -> Mapping[str, str]:
        return self.shape.node_selector

    @property
    def node_affinity(self) -> Mapping[str, Any]:
        return self.shape.node_affinity

    @property
    def images(self) -> tuple[str, ...]:
        return self.shape.images

    @property
    def volumes(self) -> tuple[Object, ...]:
        return self.shape.volumes

    @property
    def resource_claims(self) -> tuple[Object, ...]:
        return self.shape.resource_claims

    @property
    def scheduling_group(self) -> Mapping[str, Any]:
        return self.shape.scheduling_group

    @property
    def features(self) -> frozenset[str]:
        return self.shape.features

    @property
    def owner(self) -> Owner | None:
        return self.shape.owner


def pod_info(pod: Object) -> PodInfo:
    spec, status, metadata = pod["spec"], pod.get("status") or {}, pod["metadata"]
    return PodInfo(
        key=(namespace_of(pod), name_of(pod)),
        uid=uid_of(pod),
        shape=shape_of(pod),
        node_name=intern(spec.get("nodeName") or ""),
        nominated_node_name=status.get("nominatedNodeName") or "",
        gates=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
        created_at=intern(metadata.get("creationTimestamp") or ""),
        started_at=intern(status.get("startTime") or ""),
        terminating=bool(metadata.get("deletionTimestamp")),
    )


_shapes: WeakValueDictionary[bytes, PodShape] = WeakValueDictionary()
"""The shapes of the pods that somebody holds, by what they were made from. The same for every user in the process."""


def shape_of(pod: Object) -> PodShape:
    """The one shape of all pods that are alike in what decides."""
    spec = pod["spec"]
    namespace, labels, owner = namespace_of(pod), labels_of(pod), _owner(pod)
    resized = resized_specs(pod)
    decisive = [
        namespace,
        labels,
        owner,
        [spec.get(name) for name in SHAPE_FIELDS],
        list(_decisive_parts(spec)),
        resized,
    ]
    key = blake2b(orjson.dumps(decisive, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
    known = _shapes.get(key)
    if known is None:
        known = _shapes[key] = _shape(spec, namespace, labels, owner, resized or [spec])
    return known


RESIZE_PENDING = "PodResizePending"


def container_sizes(pod: Object) -> dict[str, tuple[Any, Any]]:
    """What the kubelet says of each container: the requests that it has agreed to, and those that are in force."""
    status = pod.get("status") or {}
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return {c["name"]: (c.get("allocatedResources"), (c.get("resources") or {}).get("requests")) for c in containers}


def resized_specs(pod: Object) -> list[Object]:
    """While a running pod is being resized: the spec with the requests that are wanted (unless they cannot be had),
    agreed to, and in force. Empty for all others.
    """
    sizes, spec = container_sizes(pod), pod["spec"]
    if not sizes:
        return []
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    if all(size in (None, _requests(c)) for c in containers for size in sizes.get(c["name"], ())):
        return []
    pending = condition(pod["status"].get("conditions"), RESIZE_PENDING) or {}
    wanted = [] if pending.get("reason") == "Infeasible" else [spec]
    agreed = {name: allocated for name, (allocated, _) in sizes.items()}
    in_force = {name: actual or allocated for name, (allocated, actual) in sizes.items()}
    return [*wanted, _with_requests(spec, agreed), _with_requests(spec, in_force)]


def _requests(container: Object) -> Any:
    return (container.get("resources") or {}).get("requests")


def _with_requests(spec: Object, requests: Mapping[str, Any]) -> Object:
    """Those that are not known stay."""

    def sized(container: Object) -> Object:
        own = requests.get(container["name"]) or _requests(container)
        return {**container, "resources": {**(container.get("resources") or {}), "requests": own}}

    kinds = ("containers", "initContainers")
    return {**spec, **{kind: [sized(container) for container in spec.get(kind) or ()] for kind in kinds}}


def _owner(pod: Object) -> Owner | None:
    reference = controller_of(pod)
    return None if reference is None else Owner(reference["apiVersion"], reference["kind"], reference["name"])


SHAPE_FIELDS = (
    "affinity",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "resourceClaims",
    "resources",
    "schedulerName",
    "schedulingGroup",
    "tolerations",
    "topologySpreadConstraints",
)
"""Fields of a pod's spec that count as they are. Of containers and volumes, only parts do."""

PLACED_VOLUMES = frozenset(
    (
        *("awsElasticBlockStore", "azureDisk", "cinder", "csi", "ephemeral", "gcePersistentDisk", "iscsi"),
        *("persistentVolumeClaim", "portworxVolume", "rbd", "vsphereVolume"),
    )
)
"""Sources of volumes that can tie a pod to nodes. The others are wherever the pod is."""


def _decisive_parts(spec: Object) -> Iterator[Any]:
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            yield kind, container.get("resources"), container.get("image"), container.get("ports")
            yield container.get("restartPolicy")
    yield from _placed_volumes(spec)
    yield from _image_volumes(spec)
    yield sorted(set(features_needed(spec)))


def features_needed(spec: Object) -> Iterator[str]:
    """What not every kubelet can do, by the names under which nodes declare it."""
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        yield "UserNamespacesHostNetworkSupport"
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            if any(rule.get("action") == "RestartAllContainers" for rule in container.get("restartPolicyRules") or ()):
                yield "RestartAllContainersOnContainerExits"
            if any(mount.get("bindMountOptions") for mount in container.get("volumeMounts") or ()):
                yield "VolumeBindMountOptions"


def _image_volumes(spec: Object) -> Iterator[str]:
    return (v["image"].get("reference", "") for v in spec.get("volumes") or () if "image" in v)


def decisive_volumes(spec: Object) -> Iterator[Object]:
    """Those that count, whole."""
    return (v for v in spec.get("volumes") or () if "image" in v or not PLACED_VOLUMES.isdisjoint(v))


def _placed_volumes(spec: Object) -> Iterator[Object]:
    return (volume for volume in spec.get("volumes") or () if not PLACED_VOLUMES.isdisjoint(volume))


def _shape(
    spec: Object, namespace: str, labels: Mapping[str, str], owner: Owner | None, sizes: Sequence[Object]
) -> PodShape:
    """`sizes` are specs with the requests that may hold at the moment; the largest counts."""
    affinity = spec.get("affinity") or {}
    together, anti = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    containers = spec.get("containers") or []
    started_one_by_one = spec.get("initContainers") or []
    near, apart = (tuple(_terms(rules, namespace, labels)) for rules in (together, anti))
    rather_near, rather_apart = (tuple(_weighted(rules, namespace, labels)) for rules in (together, anti))
    return PodShape(
        namespace=namespace,
        labels=labels,
        scheduler_name=spec.get("schedulerName") or "default-scheduler",
        priority=spec.get("priority") or 0,
        preemption_policy=spec.get("preemptionPolicy") or "PreemptLowerPriority",
        requests=_largest(requests_of(size) for size in sizes),
        nonzero=_nonzero(sizes),
        nonzero_of_containers=_nonzero([{**size, "resources": None} for size in sizes]),
        ports=tuple(_host_ports([*containers, *(c for c in started_one_by_one if c.get("restartPolicy") == "Always")])),
        affinity=near,
        anti_affinity=apart,
        preferred_affinity=rather_near,
        preferred_anti_affinity=rather_apart,
        rules=tuple(_rules_of(near, apart, rather_near, rather_apart)),
        spread=tuple(_spread(c, labels) for c in spec.get("topologySpreadConstraints") or ()),
        tolerations=tuple(spec.get("tolerations") or ()),
        node_selector=spec.get("nodeSelector") or {},
        node_affinity=affinity.get("nodeAffinity") or {},
        images=(*(c.get("image", "") for c in (*started_one_by_one, *containers)), *_image_volumes(spec)),
        volumes=tuple(_placed_volumes(spec)),
        resource_claims=tuple(spec.get("resourceClaims") or ()),
        scheduling_group=spec.get("schedulingGroup") or {},
        owner=owner,
        features=frozenset(features_needed(spec)),
    )


_rules: WeakValueDictionary[tuple[PodTerm, int | None], Rule] = WeakValueDictionary()


def rule_of(term: PodTerm, weight: int | None) -> Rule:
    rule = _rules.get((term, weight))
    if rule is None:
        rule = _rules[term, weight] = Rule(term, weight)
    return rule


def _rules_of(
    near: Iterable[PodTerm], apart: Iterable[PodTerm], rather_near: Iterable[Weighted], rather_apart: Iterable[Weighted]
) -> Iterator[Rule]:
    yield from (rule_of(term, 0) for term in apart)
    yield from (rule_of(term, None) for term in near)
    yield from (rule_of(entry.term, entry.weight) for entry in rather_near)
    yield from (rule_of(entry.term, -entry.weight) for entry in rather_apart)


def amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    return {name: parse_quantity(text).scaled(UNITS_PER_ONE.get(name, 1)) for name, text in (quantities or {}).items()}


def requests_of(spec: Object, defaults: Amounts | None = None) -> Amounts:
    """`defaults` are for containers that name no request of their own for a resource."""

    def of(container: Object) -> Amounts:
        return {**(defaults or {}), **amounts((container.get("resources") or {}).get("requests"))}

    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, of(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = of(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            own = {}
        _add(own, sidecars)
        _raise(peak, own)
    _add(total, sidecars)
    _raise(total, peak)
    total |= amounts((spec.get("resources") or {}).get("requests"))
    _add(total, amounts(spec.get("overhead")))
    return {name: amount for name, amount in total.items() if amount}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        total[name] = max(total.get(name, 0), amount)


def _largest(sizes: Iterable[Amounts]) -> Amounts:
    largest: Amounts = {}
    for size in sizes:
        _raise(largest, size)
    return largest


def _nonzero(sizes: Iterable[Object]) -> tuple[int, int]:
    requests = _largest(requests_of(size, DEFAULT_REQUESTS) for size in sizes)
    return requests.get(CPU, 0), requests.get(MEMORY, 0)


def _host_ports(containers: list[Object]) -> Iterator[HostPort]:
    for container in containers:
        for port in container.get("ports") or ():
            if number := port.get("hostPort"):
                yield HostPort(port.get("hostIP") or ANY_ADDRESS, port.get("protocol", "TCP"), number)


def _terms(rules: Object, namespace: str, labels: Mapping[str, str]) -> Iterator[PodTerm]:
    for term in rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
        yield _term(term, namespace, labels)


def _weighted(rules: Object, namespace: str, labels: Mapping[str, str]) -> Iterator[Weighted]:
    for entry in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield Weighted(entry["weight"], _term(entry["podAffinityTerm"], namespace, labels))


def _term(term: Object, namespace: str, labels: Mapping[str, str]) -> PodTerm:
    by_labels = term.get("namespaceSelector")
    named = term.get("namespaces") or ()
    own = () if named or by_labels is not None else (namespace,)
    selector = with_own_labels(term.get("labelSelector"), term, labels)
    namespace_selector = selector_of(by_labels) if by_labels is not None else None
    return PodTerm(term["topologyKey"], selector, frozenset((*named, *own)), namespace_selector)


def with_own_labels(label_selector: Object | None, rule: Object, labels: Mapping[str, str]) -> Selector:
    """The selector, narrowed by `matchLabelKeys` and `mismatchLabelKeys` to pods that (dis)agree with this one."""
    if label_selector is None:
        return selector_of(None)
    expressions = list(label_selector.get("matchExpressions") or ())
    for field_name, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        expressions += [
            {"key": key, "operator": operator, "values": [labels[key]]}
            for key in rule.get(field_name) or ()
            if key in labels
        ]
    return selector_of({**label_selector, "matchExpressions": expressions})


def _spread(constraint: Object, labels: Mapping[str, str]) -> SpreadConstraint:
    return SpreadConstraint(
        topology_key=constraint["topologyKey"],
        max_skew=constraint["maxSkew"],
        hard=constraint.get("whenUnsatisfiable") == "DoNotSchedule",
        selector=with_own_labels(constraint.get("labelSelector"), constraint, labels),
        min_domains=constraint.get("minDomains") or 1,
        honour_affinity=constraint.get("nodeAffinityPolicy", "Honor") == "Honor",
        honour_taints=constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )
