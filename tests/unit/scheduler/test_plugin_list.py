"""The explicit list of plugins has them all."""

import importlib
import pkgutil

import kaa.scheduler.plugins
from kaa.scheduler.framework import Plugin
from kaa.scheduler.plugins import PLUGINS


def test_every_plugin_is_listed():
    """A plugin whose file exists but which nobody asks would be silently missing."""
    modules = [
        importlib.import_module(f"kaa.scheduler.plugins.{module.name}")
        for module in pkgutil.iter_modules(kaa.scheduler.plugins.__path__)
    ]
    rows = [module.PLUGIN for module in modules if isinstance(getattr(module, "PLUGIN", None), Plugin)]
    assert {row.name for row in rows} == {row.name for row in PLUGINS}
    assert len({row.name for row in PLUGINS}) == len(PLUGINS)
