"""No controller is without a test that puts it to work, and that runs against any server, upstream's too."""

from importlib import import_module
from pathlib import Path

from tests.integration.exercised import name_of_program
from tests.scenarios.test_controllers import OPTIONS

from kaa.controllers import all_controllers, all_programs


def exercised() -> set[str]:
    """What tests promise that need no virtual time; each of them checks that it keeps its promise."""
    names = [path.stem for path in sorted(Path(__file__).parent.glob("test_controllers*.py")) if path != Path(__file__)]
    tests = [found for name in names for found in vars(import_module(f"tests.integration.{name}")).values()]
    return {
        controller
        for test in tests
        if not getattr(test, "only_virtual", False)
        for controller in getattr(test, "exercises", ())
    }


def test_every_controller_is_put_to_work() -> None:
    """A new row or program comes with an integration test; a promise of none that there is would hold nothing."""
    rows = {row.name for row in all_controllers(OPTIONS)}
    assert exercised() == rows | {name_of_program(make) for make in all_programs(OPTIONS)}
