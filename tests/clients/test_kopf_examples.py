"""kopf's own examples, as they are in its source distribution, and its own tests of them, each on a new cluster."""

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from kaa import Cluster
from tests.clients.kopf_source import KopfSource, kopf_source

EXAMPLES = (
    "01-minimal",
    "02-children",
    "03-exceptions",
    "04-events",
    "05-handlers",
    "06-peering",
    "07-subhandlers",
    "08-events",
    "09-testing",
    "10-builtins",
    "11-filtering-handlers",
    "12-embedded",
    "13-hooks",
    "14-daemons",
    "15-timers",
    "16-indexing",
    "99-all-at-once",
)
NOT_RUN = {
    "17-admission": "An operator that is an admission webhook: Kaa's server calls none yet, which kopf's own test of it"
    " would not notice.",
}
PROGRAM = "12-embedded"
"""A program of its own, without a test: it is run as its README says."""
GREETINGS = ("Hello, kopf-example-2!", "Good bye, kopf-example-2!")
"""The last that it prints: on a slow machine it is through with the first before its operator has started."""

AT_ONCE = 4
"""Examples under way at the same time: nearly all of theirs is waiting."""
EXAMPLE_SECONDS = 90.0
WARNINGS = (
    # Its settings for plugins that are not installed here: they are for its other tests.
    "ignore::pytest.PytestConfigWarning",
    # It ends its event loop without awaiting the connections of its watches. Whether they have closed by then is
    # chance, against upstream's server, too.
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

NOT_KOPFS = ("schemathesis", "hypothesispytest")
"""Plugins of ours that its tests have never met."""

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def source() -> KopfSource:
    return kopf_source()


@pytest.fixture(scope="module")
def outcomes(source: KopfSource, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Done]:
    """All examples, several at once. The last ones take longest, so they begin."""

    order = EXAMPLES[::-1]
    scratch = [tmp_path_factory.mktemp(example) for example in order]  # here: the factory is for one thread
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(order, pool.map(partial(run_example, source), order, scratch), strict=True))


def run_example(source: KopfSource, example: str, scratch: Path) -> Done:
    """The example's own test; without one, what kopf's end-to-end tests do with it."""
    with Cluster() as cluster:
        environment = {
            **os.environ,
            "KUBECONFIG": cluster.kubeconfig,
            "KUBECACHEDIR": str(scratch),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),  # kubectl
            "PYTHONPATH": str(source.packages),
        }
        if example == PROGRAM:
            cluster.apply(source.directory / "examples/crd.yaml")
            arguments = [f"examples/{example}/example.py"]
        elif source.has_tests(example):
            arguments = [*pytest_arguments(), f"examples/{example}"]
        else:
            test = f"tests/e2e/test_examples.py::test_all_examples_are_runnable[{example}]"
            arguments = [*pytest_arguments(), "--only-e2e", test]
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=source.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=EXAMPLE_SECONDS,
            check=False,
        )


def pytest_arguments() -> list[str]:
    warnings = [argument for warning in WARNINGS for argument in ("-W", warning)]
    unloaded = [argument for plugin in NOT_KOPFS for argument in ("-p", f"no:{plugin}")]
    return ["-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", *unloaded, *warnings]


def test_every_example_is_known(source: KopfSource) -> None:
    """A new example in a new kopf is run, or it is said why not."""
    assert source.examples == sorted((*EXAMPLES, *NOT_RUN))


@pytest.mark.parametrize("example", EXAMPLES)
def test_kopfs_own_example(outcomes: Mapping[str, Done], example: str) -> None:
    """The operator does on Kaa what kopf's authors expect of it on a cluster."""
    done = outcomes[example]
    assert done.returncode == 0, done.stdout
    for text in GREETINGS if example == PROGRAM else ("1 passed",):
        assert text in done.stdout
