"""What an object counts for in a ResourceQuota, pure: names of quota resources -> amounts.

Every kind counts as `count/<plural>.<group>`; some also under older names; pods and claims by what they ask for. Which
objects a quota is about is said by its scopes.
"""

from collections.abc import Callable, Iterator, Mapping

from kaa.api.objects import Object, annotations_of
from kaa.api.pod_resources import pod_total
from kaa.api.quantity import Quantity, parse_quantity
from kaa.api.resource import Resource
from kaa.api.volume_binding import volume_attributes_classes

ONE = parse_quantity(1)
ZERO = parse_quantity(0)

COUNTED_BY_NAME = frozenset(
    {"configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"}
)
"""Core kinds that also count under their bare plural."""

PLAIN_COMPUTE = ("cpu", "memory", "ephemeral-storage")
"""Requests that count without the prefix `requests.`, too."""

Amounts = dict[str, Quantity]


def usage(obj: Object, resource: Resource) -> Amounts:
    """All that the object counts for."""
    suffix = f".{resource.group}" if resource.group else ""
    amounts: Amounts = {f"count/{resource.name}{suffix}": ONE}
    if not resource.group and resource.name in COUNTED_BY_NAME:
        amounts[resource.name] = ONE
    more = MORE_USAGE.get((resource.group, resource.kind))
    return amounts | (more(obj) if more else {})


def _pod_usage(pod: Object) -> Amounts:
    """A pod that has ended uses nothing but its place in the store."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    amounts: Amounts = {"pods": ONE}
    for name, amount in pod_total(pod, "requests").items():
        amounts[f"requests.{name}"] = amount
        if name in PLAIN_COMPUTE or name.startswith("hugepages-"):
            amounts[name] = amount
    for name, amount in pod_total(pod, "limits").items():
        amounts[f"limits.{name}"] = amount
    return amounts


def _service_usage(service: Object) -> Amounts:
    spec = service["spec"]
    ports = len(spec.get("ports") or ())
    balanced = spec.get("type") == "LoadBalancer"
    with_ports = spec.get("type") == "NodePort" or (balanced and spec.get("allocateLoadBalancerNodePorts") is not False)
    return {
        "services.nodeports": parse_quantity(ports) if with_ports else ZERO,
        "services.loadbalancers": ONE if balanced else ZERO,
    }


def _claim_usage(claim: Object) -> Amounts:
    spec = claim["spec"]
    asked = (spec.get("resources") or {}).get("requests") or {}
    amounts: Amounts = {"requests.storage": parse_quantity(asked["storage"])} if "storage" in asked else {}
    beta = annotations_of(claim).get("volume.beta.kubernetes.io/storage-class")
    if name := beta or spec.get("storageClassName"):
        prefix = f"{name}.storageclass.storage.k8s.io"
        amounts |= {f"{prefix}/{key}": amount for key, amount in amounts.items()}
        amounts[f"{prefix}/persistentvolumeclaims"] = ONE
    return amounts


MORE_USAGE: Mapping[tuple[str, str], Callable[[Object], Amounts]] = {
    ("", "Pod"): _pod_usage,
    ("", "Service"): _service_usage,
    ("", "PersistentVolumeClaim"): _claim_usage,
}


def is_about(quota: Object, obj: Object, resource: Resource) -> bool:
    """Whether the quota's scopes select the object; without scopes it is about everything."""
    spec = quota["spec"]
    expressions = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    expressions += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    in_scope = SCOPED_KINDS.get((resource.group, resource.kind))
    return not expressions or (in_scope is not None and all(in_scope(obj, expression) for expression in expressions))


def _pod_in_scope(pod: Object, expression: Object) -> bool:
    if expression["scopeName"] == "PriorityClass":
        return _matches({pod["spec"].get("priorityClassName") or ""} - {""}, expression)
    scope = SCOPES.get(expression["scopeName"])
    return scope is not None and scope(pod)


def _claim_in_scope(claim: Object, expression: Object) -> bool:
    named = set(volume_attributes_classes(claim))
    return expression["scopeName"] == "VolumeAttributesClass" and _matches(named, expression)


SCOPED_KINDS: Mapping[tuple[str, str], Callable[[Object, Object], bool]] = {
    ("", "Pod"): _pod_in_scope,
    ("", "PersistentVolumeClaim"): _claim_in_scope,
}
"""Kinds that scopes can select; a quota with scopes is about no other."""


def _matches(named: set[str], expression: Object) -> bool:
    values = set(expression.get("values") or ())
    return {
        "In": bool(named & values),
        "NotIn": not named & values,
        "Exists": bool(named),
        "DoesNotExist": not named,
    }.get(expression["operator"], False)


def _is_terminating(pod: Object) -> bool:
    return pod["spec"].get("activeDeadlineSeconds") is not None


def _is_best_effort(pod: Object) -> bool:
    return not pod_total(pod, "requests") and not pod_total(pod, "limits")


def _is_cross_namespace(pod: Object) -> bool:
    """Whether an affinity term reaches into other namespaces."""
    affinity = pod["spec"].get("affinity") or {}
    return any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for kind in ("podAffinity", "podAntiAffinity")
        for term in _terms(affinity.get(kind) or {})
    )


def _terms(affinity: Object) -> Iterator[Object]:
    yield from affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for weighted in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted.get("podAffinityTerm") or {}


SCOPES: Mapping[str, Callable[[Object], bool]] = {
    "Terminating": _is_terminating,
    "NotTerminating": lambda pod: not _is_terminating(pod),
    "BestEffort": _is_best_effort,
    "NotBestEffort": lambda pod: not _is_best_effort(pod),
    "CrossNamespacePodAffinity": _is_cross_namespace,
}


def unspecified(pod: Object, hard: Mapping[str, str]) -> str:
    """`limits.cpu for: a,b; ...`: what the quota counts and neither the pod nor all its containers say."""
    found = []
    for name in sorted(hard):
        field, _, short = name.rpartition(".") if name.startswith(("requests.", "limits.")) else ("requests", "", name)
        whole = (pod["spec"].get("resources") or {}).get(field) or {}
        if short not in ("cpu", "memory") or short in whole:
            continue
        silent = [
            container["name"]
            for kind in ("containers", "initContainers")
            for container in pod["spec"].get(kind) or ()
            if short not in ((container.get("resources") or {}).get(field) or {})
        ]
        if silent:
            found.append(f"{name} for: {','.join(sorted(silent))}")
    return "; ".join(found)


def total(amounts: list[Amounts]) -> Amounts:
    summed: Amounts = {}
    for one in amounts:
        for name, amount in one.items():
            summed[name] = summed.get(name, ZERO) + amount
    return summed
