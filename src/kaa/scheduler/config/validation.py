"""What must hold of a configuration, in upstream's words. All violations are told at once."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from kaa.api.errors import FieldError
from kaa.api.labels import label_key_problems
from kaa.api.objects import Object
from kaa.api.validation.fields import duplicate, forbidden, invalid, not_supported, required
from kaa.scheduler.config.decoding import API_VERSION
from kaa.scheduler.plugins.node_resources_fit import RATIO, STRATEGIES
from kaa.scheduler.plugins.node_selector import OPERATORS, is_empty
from kaa.scheduler.plugins.shape import MAX_CUSTOM_SCORE, MAX_UTILIZATION

Errors: TypeAlias = Iterator[FieldError]
MAX_WEIGHT = 100
INTEGER = "should be an integer value greater than zero"
REMOVED = ("AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits")
"""Plugins of earlier versions."""


def validate(configuration: Object) -> Errors:
    if (parallelism := configuration.get("parallelism", 1)) <= 0:
        yield invalid("parallelism", parallelism, INTEGER)
    election = configuration.get("leaderElection") or {}
    if election.get("leaderElect") and election.get("resourceLock", "leases") != "leases":
        yield invalid("leaderElection.resourceLock", election["resourceLock"], 'resourceLock value must be "leases"')
    yield from _profiles(configuration.get("profiles") or [])
    yield from _percentage("percentageOfNodesToScore", configuration)
    initial = configuration.get("podInitialBackoffSeconds", 1)
    if initial <= 0:
        yield invalid("podInitialBackoffSeconds", initial, "must be greater than 0")
    most = configuration.get("podMaxBackoffSeconds", 10)
    if most < initial:
        detail = "must be greater than or equal to PodInitialBackoffSeconds"
        yield invalid("podMaxBackoffSeconds", most, detail)
    yield from _extenders(configuration.get("extenders") or [])


def _percentage(path: str, obj: Object) -> Errors:
    percentage = obj.get("percentageOfNodesToScore")
    if percentage is not None and not 0 <= percentage <= 100:
        yield invalid(path, percentage, "not in valid range [0-100]")


def _profiles(profiles: list[Object]) -> Errors:
    seen: dict[str, int] = {}
    for i, profile in enumerate(profiles):
        path = f"profiles[{i}]"
        name = profile.get("schedulerName")
        if name is None and len(profiles) == 1:
            name = "default-scheduler"
        if not name:
            yield required(f"{path}.schedulerName")
        elif name in seen:
            yield duplicate(f"{path}.schedulerName", f"profiles[{seen[name]}].schedulerName")
        seen.setdefault(name or "", i)
        yield from _percentage(f"{path}.percentageOfNodesToScore", profile)
        yield from _plugins(f"{path}.plugins", profile.get("plugins") or {})
        yield from _plugin_config(path, profile.get("pluginConfig") or [])
    first = _queue_sort(profiles[0]) if profiles else None
    for i, profile in enumerate(profiles[1:], 1):
        if _queue_sort(profile) != first:
            detail = "has to match for all profiles"
            yield invalid(f"profiles[{i}].plugins.queueSort", _queue_sort(profile), detail)


def _queue_sort(profile: Object) -> Object:
    found: Object = (profile.get("plugins") or {}).get("queueSort") or {}
    return found


def _plugins(path: str, plugins: Object) -> Errors:
    for point, plugin_set in plugins.items():
        for i, plugin in enumerate(plugin_set.get("enabled") or ()):
            if plugin["name"] in REMOVED:
                yield _removed(f"{path}.{point}.enabled[{i}]", plugin["name"])


def _removed(path: str, name: str) -> FieldError:
    detail = f'was invalid in version "v1" (KubeSchedulerConfiguration is version "{API_VERSION}")'
    return invalid(path, name, detail)


def _plugin_config(profile_path: str, configs: list[Object]) -> Errors:
    seen = set()
    for i, config in enumerate(configs):
        path, name = f"{profile_path}.pluginConfig[{i}]", config["name"]
        if name in seen:
            yield duplicate(path, name)
        seen.add(name)
        if name in REMOVED:
            yield _removed(path, name)
        elif name in ARGUMENTS:
            yield from ARGUMENTS[name](f"{path}.args", config["args"])


def _extenders(extenders: list[Object]) -> Errors:
    managed = set()
    for i, extender in enumerate(extenders):
        path = f"extenders[{i}]"
        if extender.get("prioritizeVerb") and extender.get("weight", 0) <= 0:
            yield invalid(f"{path}.weight", extender.get("weight", 0), "must have a positive weight applied to it")
        for j, resource in enumerate(extender.get("managedResources") or ()):
            at, name = f"{path}.managedResources[{j}].name", resource["name"]
            problems = list(label_key_problems(name))
            yield from (invalid(at, name, problem) for problem in problems)
            if not problems and not _is_extended(name):
                yield invalid(at, name, "is an invalid extended resource name")
            if name in managed:
                yield invalid(at, name, "duplicate extender managed resource name")
            managed.add(name)
    binders = sum(bool(extender.get("bindVerb")) for extender in extenders)
    if binders > 1:
        found = f"found {binders} extenders implementing bind"
        yield invalid("extenders", found, "only one extender can implement bind")


def _is_extended(resource: str) -> bool:
    return "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")


# Arguments of plugins


def _default_preemption(path: str, args: Object) -> Errors:
    percentage, absolute = (args.get(f"minCandidateNodes{what}") for what in ("Percentage", "Absolute"))
    if percentage is not None and not 0 <= percentage <= 100:
        yield invalid(f"{path}.minCandidateNodesPercentage", percentage, "not in valid range [0, 100]")
    if absolute is not None and absolute < 0:
        yield invalid(f"{path}.minCandidateNodesAbsolute", absolute, "not in valid range [0, inf)")
    if percentage == 0 and absolute == 0:
        for mine, other in (("Percentage", "Absolute"), ("Absolute", "Percentage")):
            detail = f"cannot be zero at the same time as minCandidateNodes{other}"
            yield invalid(f"{path}.minCandidateNodes{mine}", 0, detail)


def _inter_pod_affinity(path: str, args: Object) -> Errors:
    weight = args.get("hardPodAffinityWeight", 1)
    if not 0 <= weight <= MAX_WEIGHT:
        yield invalid(f"{path}.hardPodAffinityWeight", weight, f"not in valid range [0, {MAX_WEIGHT}]")


def _node_affinity(path: str, args: Object) -> Errors:
    added = args.get("addedAffinity") or {}
    needed, wished = (f"{path}.addedAffinity.{how}DuringSchedulingIgnoredDuringExecution" for how in HOW)
    terms = (added.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    for i, term in enumerate(terms):
        yield from _node_term(f"{needed}.nodeSelectorTerms[{i}]", term)
    for i, entry in enumerate(added.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        yield from _node_term(f"{wished}[{i}].preference", entry.get("preference") or {})


HOW = ("required", "preferred")


def _node_term(path: str, term: Object) -> Errors:
    if is_empty(term):
        return
    for field, operators in (("matchExpressions", tuple(OPERATORS)), ("matchFields", ("In", "NotIn"))):
        for i, expression in enumerate(term.get(field) or ()):
            if expression.get("operator") not in operators:
                yield not_supported(f"{path}.{field}[{i}].operator", expression.get("operator", ""), operators)


def _balanced_allocation(path: str, args: Object) -> Errors:
    seen = set()
    for i, resource in enumerate(args.get("resources") or ()):
        if resource["name"] in seen:
            yield duplicate(f"{path}.resources[{i}].name", resource["name"])
        seen.add(resource["name"])
        if resource.get("weight", 0) not in (0, 1):
            yield invalid(f"{path}.resources[{i}].weight", resource["weight"], "must be 1")


def _resources_fit(path: str, args: Object) -> Errors:
    for i, name in enumerate(args.get("ignoredResources") or ()):
        yield from (invalid(f"{path}.ignoredResources[{i}]", name, p) for p in label_key_problems(name))
    for i, group in enumerate(args.get("ignoredResourceGroups") or ()):
        at = f"{path}.ignoredResourceGroups[{i}]"
        if "/" in group:
            yield invalid(at, group, "resource group name can't contain '/'")
        yield from (invalid(at, group, problem) for problem in label_key_problems(group))
    strategy = args.get("scoringStrategy")
    if strategy is None:
        return
    path = f"{path}.scoringStrategy"
    kind, ratio = strategy.get("type", ""), strategy.get("requestedToCapacityRatio")
    if kind not in (*STRATEGIES, RATIO):
        yield not_supported(f"{path}.type", kind, sorted((*STRATEGIES, RATIO)))
    for i, resource in enumerate(strategy.get("resources") or ()):
        weight = resource.get("weight") or 1
        if not 0 < weight <= MAX_WEIGHT:
            detail = f"resource weight of {resource['name']} not in valid range (0, {MAX_WEIGHT}]"
            yield invalid(f"{path}.resources[{i}].weight", weight, detail)
    path = f"{path}.requestedToCapacityRatio"
    if kind == RATIO and ratio is None:
        yield required(path, f"must be specified when type is {RATIO}")
    elif kind == RATIO:
        yield from _shape(f"{path}.shape", ratio.get("shape") or [])
    elif ratio is not None:
        yield forbidden(path, f"must be nil when type is not {RATIO}")


def _shape(path: str, points: list[Object]) -> Errors:
    if not points:
        yield required(path, "at least one point must be specified")
    for i in range(1, len(points)):
        if points[i - 1]["utilization"] >= points[i]["utilization"]:
            detail = "values must be sorted in increasing order"
            yield invalid(f"{path}[{i}].utilization", points[i]["utilization"], detail)
            break
    for i, point in enumerate(points):
        for field, most in (("utilization", MAX_UTILIZATION), ("score", MAX_CUSTOM_SCORE)):
            if not 0 <= point[field] <= most:
                yield invalid(f"{path}[{i}].{field}", point[field], f"not in valid range [0, {most}]")


def _topology_spread(path: str, args: Object) -> Errors:
    kind, constraints = args.get("defaultingType", "System"), args.get("defaultConstraints") or []
    if kind not in ("System", "List"):
        yield not_supported(f"{path}.defaultingType", kind, ("System", "List"))
    elif kind == "System" and constraints:
        yield invalid(f"{path}.defaultingType", kind, "when .defaultConstraints are not empty")
    seen = set()
    for i, constraint in enumerate(constraints):
        at = f"{path}.defaultConstraints[{i}]"
        key, when = constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        if constraint.get("maxSkew", 0) <= 0:
            yield invalid(f"{at}.maxSkew", constraint.get("maxSkew", 0), "not in valid range (0, inf)")
        if not key:
            yield required(f"{at}.topologyKey", "can not be empty")
        else:
            yield from (invalid(f"{at}.topologyKey", key, problem) for problem in label_key_problems(key))
        if not when:
            yield required(f"{at}.whenUnsatisfiable", "can not be empty")
        elif when not in WHEN:
            yield not_supported(f"{at}.whenUnsatisfiable", when, WHEN)
        if constraint.get("labelSelector") is not None:
            detail = "constraint must not define a selector, as they deduced for each pod"
            yield forbidden(f"{at}.labelSelector", detail)
        if (key, when) in seen:
            yield duplicate(at, f"{{{key}, {when}}}")
        seen.add((key, when))


WHEN = ("DoNotSchedule", "ScheduleAnyway")


def _volume_binding(path: str, args: Object) -> Errors:
    seconds = args.get("bindTimeoutSeconds", 0)
    if seconds < 0:
        detail = "invalid BindTimeoutSeconds, should not be a negative value"
        yield invalid(f"{path}.bindTimeoutSeconds", seconds, detail)
    if args.get("shape"):
        yield from _shape(f"{path}.shape", args["shape"])


ARGUMENTS: Mapping[str, Callable[[str, Any], Errors]] = {
    "DefaultPreemption": _default_preemption,
    "InterPodAffinity": _inter_pod_affinity,
    "NodeAffinity": _node_affinity,
    "NodeResourcesBalancedAllocation": _balanced_allocation,
    "NodeResourcesFit": _resources_fit,
    "PodTopologySpread": _topology_spread,
    "VolumeBinding": _volume_binding,
}
