"""LimitRanger: what a namespace's LimitRanges give to pods that say nothing, and refuse to those that ask too much.

A LimitRange has items of a type (Container, Pod, PersistentVolumeClaim) with, for each resource, a default limit, a
default request, a minimum, a maximum, and a greatest ratio of limit to request.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kaa.api.objects import Object
from kaa.api.pod_resources import Resources, pod_total, quantities
from kaa.api.quantity import NANO, Quantity
from kaa.server.admission.plugin import CREATE, UPDATE, Context, Plugin, created, refused
from kaa.server.request import AdmissionRequest

ANNOTATION = "kubernetes.io/limit-ranger"


def _items(context: Context, namespace: str, kind: str) -> Iterator[Object]:
    for limit_range in context.reader.list("LimitRange", namespace):
        yield from (item for item in limit_range["spec"].get("limits") or () if item["type"] == kind)


async def set_defaults(request: AdmissionRequest, context: Context) -> None:
    """Fills in requests and limits of the containers that lack them, and says so in an annotation."""
    if request.resource.kind != "Pod" or request.operation != CREATE:
        return
    pod = created(request)
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in _items(context, request.attributes.namespace, "Container"):
        limits = {**(item.get("default") or {}), **limits}
        requests = {**(item.get("defaultRequest") or {}), **requests}
    if not limits and not requests:
        return
    said: list[str] = []
    for title, containers in (("container", "containers"), ("init container", "initContainers")):
        for container in pod["spec"].get(containers) or ():
            said += _fill(container, title, requests, limits)
    if said:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(said)


def _fill(container: Object, title: str, requests: dict[str, str], limits: dict[str, str]) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for word, field, defaults in (("request", "requests", requests), ("limit", "limits", limits)):
        present = resources.get(field) or {}
        missing = {key: value for key, value in defaults.items() if key not in present}
        if missing:
            resources[field] = {**present, **missing}
            yield f"{', '.join(sorted(missing))} {word} for {title} {container['name']}"


async def check_limits(request: AdmissionRequest, context: Context) -> None:
    """Raises Forbidden with everything that is beyond a limit."""
    obj, namespace = created(request), request.attributes.namespace
    checks = POD_CHECKS if request.resource.kind == "Pod" else CLAIM_CHECKS
    objections = [
        objection
        for kind, usages in checks.items()
        for item in _items(context, namespace, kind)
        for usage in usages(obj)
        for objection in _objections(item, usage)
    ]
    if objections:
        objections = list(dict.fromkeys(objections))
        raise refused(request, objections[0] if len(objections) == 1 else f"[{', '.join(objections)}]")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one container, pod or claim asks for. A claim has requests only: `limits` is None."""

    requests: Resources
    limits: Resources | None


def _container_usages(pod: Object) -> Iterator[Usage]:
    spec = pod["spec"]
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        yield Usage(quantities(resources.get("requests")), quantities(resources.get("limits")))


def _pod_usage(pod: Object) -> Iterator[Usage]:
    yield Usage(pod_total(pod, "requests"), pod_total(pod, "limits"))


def _claim_usage(claim: Object) -> Iterator[Usage]:
    yield Usage(quantities((claim["spec"].get("resources") or {}).get("requests")), None)


POD_CHECKS: dict[str, Callable[[Object], Iterable[Usage]]] = {"Container": _container_usages, "Pod": _pod_usage}
CLAIM_CHECKS: dict[str, Callable[[Object], Iterable[Usage]]] = {"PersistentVolumeClaim": _claim_usage}


def _objections(item: Object, usage: Usage) -> Iterator[str]:
    kind = item["type"]
    for resource, least in quantities(item.get("min")).items():
        yield from _below(kind, resource, least, usage)
    for resource, most in quantities(item.get("max")).items():
        yield from _above(kind, resource, most, usage)
    for resource, ratio in quantities(item.get("maxLimitRequestRatio")).items():
        yield from _out_of_ratio(kind, resource, ratio, usage)


def _below(kind: str, resource: str, least: Quantity, usage: Usage) -> Iterator[str]:
    sentence = f"minimum {resource} usage per {kind} is {least}"
    asked = usage.requests.get(resource)
    if asked is None:
        yield f"{sentence}.  No request is specified"
    elif asked < least:
        yield f"{sentence}, but request is {asked}"
    limit = (usage.limits or {}).get(resource)
    if limit is not None and limit < least:
        yield f"{sentence}, but limit is {limit}"


def _above(kind: str, resource: str, most: Quantity, usage: Usage) -> Iterator[str]:
    sentence = f"maximum {resource} usage per {kind} is {most}"
    asked = usage.requests.get(resource)
    limit = None if usage.limits is None else usage.limits.get(resource)
    if usage.limits is not None and limit is None:
        yield f"{sentence}.  No limit is specified"
    elif limit is not None and limit > most:
        yield f"{sentence}, but limit is {limit}"
    if asked is not None and asked > most:
        yield f"{sentence}, but request is {asked}"


def _out_of_ratio(kind: str, resource: str, most: Quantity, usage: Usage) -> Iterator[str]:
    sentence = f"{resource} max limit to request ratio per {kind} is {most}"
    asked, limit = usage.requests.get(resource), (usage.limits or {}).get(resource)
    if asked is None or not asked:
        yield f"{sentence}, but no request is specified or request is 0"
    elif limit is None or not limit:
        yield f"{sentence}, but no limit is specified or limit is 0"
    elif (ratio := limit.nanos / asked.nanos) * NANO > most.nanos:
        yield f"{sentence}, but provided ratio is {ratio:f}"


LIMIT_RANGER = Plugin(
    name="LimitRanger",
    kinds=frozenset({("", "Pod"), ("", "PersistentVolumeClaim")}),
    operations=frozenset({CREATE, UPDATE}),
    mutate=set_defaults,
    validate=check_limits,
)
