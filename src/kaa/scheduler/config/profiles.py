"""From a checked configuration to profiles: which plugins are asked for a schedulerName's pods, in which order.

`multiPoint` enables a plugin wherever it has something to say; the sets of single points add to that and take away.
What a plugin does at a point where it is not enabled is cut out of its row. The order is multiPoint's; plugins that
only single points enable come after.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kaa.api.objects import Object
from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.framework import Factory, Plugin, Profile
from kaa.scheduler.plugins import FACTORIES

DEFAULT_NAME = "default-scheduler"

POINTS: Mapping[str, tuple[str, ...]] = {
    "preEnqueue": ("enqueue",),
    "preFilter": ("pre_reject",),
    "filter": ("reject",),
    "postFilter": ("post_filter",),
    "preScore": (),
    "score": ("score",),
    "reserve": ("reserve", "unreserve"),
    "permit": ("permit",),
    "preBind": ("pre_bind",),
    "bind": ("bind",),
    "postBind": (),
}
"""A configuration's points, and the fields of a plugin's row that they are about."""

QUEUE_SORT, BINDER = "PrioritySort", "DefaultBinder"
BUILT_IN = {QUEUE_SORT: "queueSort", BINDER: "bind"}
"""Upstream's plugins that are no rows here, with their points: they cannot be replaced by nothing."""

NEEDED = {
    QUEUE_SORT: 'only one queue sort plugin required for profile with scheduler name "{}", but got 0',
    BINDER: 'at least one bind plugin is needed for profile with scheduler name "{}"',
}

ALL = "*"


@dataclass(frozen=True, slots=True)
class Enabled:
    """A plugin at a point, or at all; `weight` None: as it comes."""

    name: str
    weight: int | None


def build_profile(profile: Object, factories: Mapping[str, Factory]) -> Profile:
    """`factories` has the built-in ones and all others that were found."""
    name = profile.get("schedulerName") or DEFAULT_NAME
    plugins: Object = profile.get("plugins") or {}
    args = {config["name"]: config["args"] for config in profile.get("pluginConfig") or ()}
    try:
        _check_built_in(name, plugins)
        rows = tuple(_rows(plugins, args, factories))
    except BadConfiguration as error:
        message = f"initializing profiles: creating profile for scheduler name {name}: {error}"
        raise BadConfiguration(message) from None
    return Profile(name, rows)


def _rows(plugins: Object, args: Mapping[str, Any], factories: Mapping[str, Factory]) -> Iterator[Plugin]:
    multi = merged([Enabled(name, None) for name in FACTORIES], plugins.get("multiPoint") or {})
    single = {point: plugins.get(point) or {} for point in POINTS}
    order = dict.fromkeys(enabled.name for enabled in multi)
    for plugin_set in single.values():
        order |= dict.fromkeys(entry["name"] for entry in plugin_set.get("enabled") or ())
    weights = {enabled.name: enabled.weight for enabled in multi}
    for name in order:
        if name in BUILT_IN:
            continue
        if name not in factories:
            raise BadConfiguration(f'plugin "{name}" does not exist')
        row = _only(factories[name](args.get(name) or {}), name in weights, single)
        yield _weighed(row, weights.get(name), single["score"])


def merged(defaults: list[Enabled], plugin_set: Object) -> list[Enabled]:
    """The defaults that are not disabled, and what is enabled besides. A default that is named again stays in place."""
    enabled = [Enabled(entry["name"], entry.get("weight")) for entry in plugin_set.get("enabled") or ()]
    named = [entry.name for entry in enabled]
    for name in named:
        if named.count(name) > 1:
            raise BadConfiguration(f'plugin "{name}" already registered')
    chosen = {entry.name: Enabled(entry.name, entry.weight or _weight_unsaid(entry.name)) for entry in enabled}
    disabled = {entry["name"] for entry in plugin_set.get("disabled") or ()}
    kept = [] if ALL in disabled else [default for default in defaults if default.name not in disabled]
    return [chosen.pop(default.name, default) for default in kept] + list(chosen.values())


def _weight_unsaid(name: str) -> int | None:
    """Upstream's plugins weigh 1 when they are enabled without a weight, others as their rows say."""
    return 1 if name in FACTORIES else None


def _only(row: Plugin, everywhere: bool, single: Mapping[str, Object]) -> Plugin:
    """Without what it does at points where it is not enabled."""
    cut: dict[str, Any] = {}
    for point, fields in POINTS.items():
        enabled = {entry["name"] for entry in single[point].get("enabled") or ()}
        disabled = {entry["name"] for entry in single[point].get("disabled") or ()}
        if row.name not in enabled and (not everywhere or not disabled.isdisjoint({row.name, ALL})):
            cut |= dict.fromkeys(fields)
    return replace(row, **cut)


def _weighed(row: Plugin, weight: int | None, score: Object) -> Plugin:
    """The weight at the score point comes before multiPoint's."""
    for entry in score.get("enabled") or ():
        if entry["name"] == row.name:
            weight = entry.get("weight") or _weight_unsaid(row.name)
    return row if weight is None else replace(row, weight=weight)


def _check_built_in(profile: str, plugins: Object) -> None:
    multi = plugins.get("multiPoint") or {}
    sorting = plugins.get("queueSort") or {}
    others = [entry["name"] for entry in sorting.get("enabled") or () if entry["name"] != QUEUE_SORT]
    if others:
        raise BadConfiguration(f'plugin "{others[0]}" does not exist')
    for name, point in BUILT_IN.items():
        point_set = plugins.get(point) or {}
        is_off = any(_disables(plugin_set, name) for plugin_set in (multi, point_set))
        is_on = any(_enables(plugin_set, name) for plugin_set in (multi, point_set))
        if is_off and not is_on and (point == "queueSort" or not point_set.get("enabled")):
            raise BadConfiguration(NEEDED[name].format(profile))


def _disables(plugin_set: Object, name: str) -> bool:
    return any(entry["name"] in (name, ALL) for entry in plugin_set.get("disabled") or ())


def _enables(plugin_set: Object, name: str) -> bool:
    return any(entry["name"] == name for entry in plugin_set.get("enabled") or ())
