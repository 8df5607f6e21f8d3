"""The explicit list of plugins has them all."""

import importlib
import pkgutil

import kaa.scheduler.plugins
from kaa.scheduler.framework import Plugin
from kaa.scheduler.plugins import FACTORIES


def rows():
    """What every module of a plugin makes: it has a PLUGIN, or a `make` for those with arguments."""
    for found in pkgutil.iter_modules(kaa.scheduler.plugins.__path__):
        module = importlib.import_module(f"kaa.scheduler.plugins.{found.name}")
        row = getattr(module, "PLUGIN", None) or (module.make({}) if hasattr(module, "make") else None)
        if isinstance(row, Plugin):
            yield row


def test_every_plugin_is_listed():
    """A plugin whose file exists but which nobody asks would be silently missing."""
    assert {row.name for row in rows()} == set(FACTORIES)
    assert [make({}).name for make in FACTORIES.values()] == list(FACTORIES)
