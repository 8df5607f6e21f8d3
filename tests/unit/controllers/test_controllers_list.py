"""The explicit list of controllers has them all."""

import importlib
import pkgutil

from tests.scenarios.test_controllers import OPTIONS

import kaa.controllers
from kaa.controllers import all_controllers, all_programs
from kaa.controllers.controller import Controller


def test_every_row_in_the_room_is_listed() -> None:
    """A controller whose file exists but which nobody runs would be silently missing."""
    listed = {row.name for row in all_controllers(OPTIONS)}
    modules = [
        importlib.import_module(f"kaa.controllers.{module.name}")
        for module in pkgutil.iter_modules(kaa.controllers.__path__)
    ]
    rows = [module.CONTROLLER for module in modules if isinstance(getattr(module, "CONTROLLER", None), Controller)]
    rows += [row for module in modules for row in getattr(module, "CONTROLLERS", ())]
    makers = [module for module in modules if callable(getattr(module, "controller", None))]
    assert {row.name for row in rows} <= listed
    assert len(listed) == len(rows) + len(makers)


def test_names_are_unique() -> None:
    """They appear in logs and metrics."""
    names = [row.name for row in all_controllers(OPTIONS)]
    assert len(names) == len(set(names))
    assert len(all_programs(OPTIONS)) == 7
