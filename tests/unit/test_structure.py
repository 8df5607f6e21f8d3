"""Rules of the whole code base that no linter knows."""

import ast
import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import kaa
from kaa.cli.commands import COMMANDS

ROOT = Path(kaa.__file__).parent
CHECKOUT = ROOT.parents[1]

READS_TIME_OR_CHANCE = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"},
    "datetime": {"now", "utcnow", "today"},
    "asyncio": {"sleep"},
    "random": {"random", "randint", "choice", "choices", "sample", "shuffle", "getrandbits", "SystemRandom"},
    "secrets": {"token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow", "randbits", "SystemRandom"},
    "uuid": {"uuid1", "uuid4"},
    "os": {"urandom", "getrandom"},
}


def calls_of(path: Path) -> Iterator[tuple[str, str]]:
    """`module.function` calls in a file, and `from module import function`, which is for calling it."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
                yield module, name
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((module, alias.name) for alias in names)


def test_only_the_clock_reads_time_and_chance() -> None:
    """One seed must give one history: a single stray `time.time()` breaks every simulation."""
    offenders = {
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in ROOT.rglob("*.py")
        if path != ROOT / "lib/clock.py"
        for module, name in calls_of(path)
        if name in READS_TIME_OR_CHANCE.get(module, ())
    }
    assert offenders == set()


def test_every_command_is_listed_and_has_help() -> None:
    """A command is one file and one entry; `kaa --help` shows what is listed."""
    modules = {name for _, name, _ in pkgutil.iter_modules([str(ROOT / "cli/commands")])}
    assert set(COMMANDS.values()) == modules
    for name, module in COMMANDS.items():
        command = importlib.import_module(f"kaa.cli.commands.{module}").command
        assert isinstance(command, click.Command)
        assert command.name == name
        assert command.help


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_about(path: Path) -> None:
    """A module opens with its model: a reader who lands anywhere finds the way."""
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_architecture_page_names_every_room() -> None:
    """The page, the layers that are checked, and the folders are one picture."""
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    page = (CHECKOUT / "docs/ARCHITECTURE.md").read_text()
    assert {room for room in rooms if f"`{room}/`" not in page} == set()
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = " ".join(contracts[0]["layers"])
    assert {room for room in rooms if f"kaa.{room}" not in layers} == set()
