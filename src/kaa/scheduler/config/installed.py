"""Plugins that installed packages offer: by entry points of the group `kaa.scheduler.plugins`.

    [project.entry-points."kaa.scheduler.plugins"]
    SpotInstances = "our_plugins.spot:PLUGIN"

An entry point is a row, or a function that makes one of the arguments that the configuration gives it. It is loaded
when a configuration enables it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.framework import Factory, Plugin

ENTRY_POINTS = "kaa.scheduler.plugins"


def installed_factories() -> dict[str, Factory]:
    """Of all packages that offer some, by the plugins' names: the entry points' own. Loaded when they are enabled."""
    return {point.name: _installed(point.name, point.load) for point in entry_points(group=ENTRY_POINTS)}


def _installed(name: str, load: Callable[[], Any]) -> Factory:
    def make(args: Mapping[str, Any]) -> Plugin:
        try:
            found = load()
            row = found if isinstance(found, Plugin) else found(args)
        except Exception as error:  # somebody else's code
            raise BadConfiguration(f'initializing plugin "{name}": {error}') from error
        if not isinstance(row, Plugin):
            raise BadConfiguration(f'initializing plugin "{name}": the entry point is no Plugin and makes none')
        return replace(row, name=name, foreign=True)

    return make
