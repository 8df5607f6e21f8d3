"""One seed, one history: to the last byte, whatever process it runs in and whatever has run there before."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.simulation import scenarios

import kaa
from kaa.cluster.simulation.exploration import Scenario, play, scenarios_of

SOURCE = Path(kaa.__file__).parent
CHECKOUT = SOURCE.parents[1]
ALL = scenarios_of(scenarios.__name__)

DAY_CPU_SECONDS = 60.0
LOADED = 3.0
"""How much dearer a second may be on a machine whose cores others share."""

CHANCE = {"time", "random", "secrets", "uuid", "threading"}
"""Modules whose functions give every run something else."""

ALLOWED = {("random", "Random"), ("uuid", "UUID"), ("threading", "Lock")}
"""What of them is no chance: a generator that was seeded, a type, what keeps the threads of several clusters apart."""

DRAWS_FROM_THE_MACHINE = {"generate_private_key", "generate_key", "generate", "random_serial_number", "urandom"}
"""What libraries call the making of a key or a number that no seed decides; `lib/keys.py` makes them of one."""

OUTSIDE = (
    "lib/clock.py",  # the one that may
    "cli/",
    "cluster/agent.py",  # processes and machines that are real
    "cluster/certificates.py",  # what a real port is opened with
    "cluster/supervisor.py",
    "cluster/simulation/drivers.py",  # the thread of a cluster on the wall clock
    "cri/",
    "network/",
    "scheduler/watched.py",  # foreign plugins, which may hang
    "store/sqlite.py",
)
INSIDE = ("cri/simulated", "cri/remotecommand.py", "cri/streaming.py")
"""What is inside of what is outside."""


@pytest.mark.parametrize("scenario", ALL, ids=lambda found: found.run.__name__)
def test_a_seed_gives_one_history(scenario: Scenario) -> None:
    """Twice in one process, with faults about; another seed gives another."""
    first = play(scenario, 4)
    assert first.problem == ""
    assert play(scenario, 4) == first
    assert play(scenario, 5).digest != first.digest


def in_processes(*arguments: str) -> list[str]:
    """The same program in two processes, each with another order of sets and of strings' hashes; what each printed."""
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    running = [
        subprocess.Popen([sys.executable, *arguments], env=env, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        for env in environments
    ]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], printed
    return printed


def test_a_history_does_not_depend_on_hashes() -> None:
    """Every scenario, in two processes with different hash seeds."""
    program = (
        "from kaa.cluster.simulation.exploration import play, scenarios_of\n"
        f"for found in scenarios_of({scenarios.__name__!r}): print(found.path, play(found, 3))\n"
    )
    one, other = in_processes("-c", program)
    assert one == other
    assert len(one.splitlines()) == len(ALL)


@pytest.mark.slow
def test_a_virtual_day_is_the_same_twice() -> None:
    """20 CronJobs every five minutes, 10 Deployments rolled over every hour, with light nodes."""
    one, other = (json.loads(text) for text in in_processes("-m", "tests.integration.simulation.virtual_day"))
    assert one["digest"] == other["digest"]
    assert one["changes"] == other["changes"] > 100_000
    assert max(one["cpu_seconds"], other["cpu_seconds"]) < DAY_CPU_SECONDS * LOADED


def test_a_virtual_hour_with_the_real_kubelet_is_the_same_twice() -> None:
    """The same with the kubelet's own loop over a simulated runtime."""
    day = ("-m", "tests.integration.simulation.virtual_day", "--nodes", "real", "--hours", "1")
    one, other = (json.loads(text) for text in in_processes(*day))
    assert one["digest"] == other["digest"]
    assert one["changes"] > 5_000


def trees() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        if name.startswith(INSIDE) or not name.startswith(OUTSIDE):
            yield name, ast.parse(path.read_text())


def test_nothing_is_read_that_differs_from_run_to_run() -> None:
    """Time, chance and threads come by the clock, or are outside what a simulated cluster is made of."""
    found = []
    for name, tree in trees():
        nodes = list(ast.walk(tree))
        imported = {a.asname or a.name for node in nodes if isinstance(node, ast.Import) for a in node.names} & CHANCE
        for node in nodes:
            match node:
                case ast.ImportFrom(module=str(module), names=names) if module in CHANCE:
                    found += [f"{name}: {module}.{a.name}" for a in names if (module, a.name) not in ALLOWED]
                case ast.Attribute(value=ast.Name(id=module), attr=attr) if module in imported:
                    found += [f"{name}: {module}.{attr}"] if (module, attr) not in ALLOWED else []
                case ast.Attribute(value=ast.Name(id="os"), attr="urandom" | "getrandom"):
                    found.append(f"{name}: os.{node.attr}")
    assert found == []


def is_signed_by_chance(call: ast.Call) -> bool:
    """An ECDSA signature that draws a number: of a certificate or a request, or of bytes."""
    match call:
        case ast.Call(func=ast.Attribute(attr="sign"), args=[_, ast.Call(func=ast.Attribute(attr="SHA256"))]):
            return all(keyword.arg != "ecdsa_deterministic" for keyword in call.keywords)
        case ast.Call(func=ast.Attribute(attr="ECDSA")):
            return all(keyword.arg != "deterministic_signing" for keyword in call.keywords)
    return False


def test_keys_and_signatures_are_of_a_seed() -> None:
    """Public keys, certificates and tokens show in objects: `lib/keys.py` makes all that a simulated cluster has.

    A key of the process's own is allowed where the wall clock decides; nothing in a virtual cluster asks for it.
    """
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr=attr)) if attr in DRAWS_FROM_THE_MACHINE:
                    found.append(f"{name}: {attr}")
                case ast.Call() if is_signed_by_chance(node):
                    found.append(f"{name}:{node.lineno}")
    assert found == ["cluster/simulation/credentials.py: generate_private_key", "lib/keys.py: generate_private_key"]


def is_set(node: ast.expr) -> bool:
    """Whether an expression is, by its form, a set."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(left=left, op=ast.Sub() | ast.BitOr() | ast.BitAnd() | ast.BitXor(), right=right):
            return any(is_set(side) or is_keys(side) for side in (left, right))
    return False


def is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def test_nothing_goes_through_a_set_in_its_order() -> None:
    """The order of a set differs from process to process: what is done in an order sorts, or keeps a dict's keys."""
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            match node:
                case ast.For(iter=iterated) | ast.AsyncFor(iter=iterated) if is_set(iterated):
                    found.append(f"{name}:{iterated.lineno}")
                case ast.ListComp(generators=parts) | ast.DictComp(generators=parts):
                    found += [f"{name}:{part.iter.lineno}" for part in parts if is_set(part.iter)]
    assert found == []
