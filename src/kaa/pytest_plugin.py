"""The pytest plugin: a cluster for each test, or one for all.

    def test_web(kaa_cluster):                          # a new cluster, there in some 20 ms
        kaa_cluster.apply(deployment)
        kaa_cluster.wait("deployment", "web", "Available")

    @pytest.mark.kaa(nodes=3, clock="virtual", seed=7)  # any argument of kaa.Cluster
    async def test_nightly(kaa_cluster):                # an AsyncCluster, because the test is asynchronous
        await kaa_cluster.run_for(hours=24)

On the wall clock an asynchronous test runs wherever its own plugin (pytest-asyncio, anyio) runs it. On a virtual clock
it runs in the cluster's event loop, so that its own `asyncio.sleep` is on the same time. A test that fails shows its
cluster's last events.

The plugin is loaded by every run of pytest wherever Kaa is installed, so all of Kaa is imported by the fixtures only.
"""

from collections.abc import Generator, Iterator
from inspect import iscoroutinefunction, unwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kaa.cluster.simulation.cluster import AsyncCluster, Cluster

OPTIONS: dict[str, tuple[type, str]] = {
    "nodes": (int, "Simulated nodes of kaa's clusters."),
    "clock": (str, "The clock of kaa's clusters: wall or virtual."),
    "seed": (int, "What decides all chance in kaa's clusters."),
}
"""Argument of `kaa.Cluster` -> its type and help. `--kaa-<name>` and the ini option `kaa_<name>` set it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kaa", "Kubernetes clusters (kaa)")
    for name, (kind, text) in OPTIONS.items():
        group.addoption(f"--kaa-{name}", type=kind, default=None, help=text)
        parser.addini(f"kaa_{name}", text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kaa(**arguments): arguments of kaa.Cluster for the fixture kaa_cluster")


def options_of(config: pytest.Config) -> dict[str, Any]:
    """Arguments of `kaa.Cluster` from the command line and, behind it, the ini file."""
    given: dict[str, Any] = {}
    for name, (kind, _) in OPTIONS.items():
        value = config.getoption(f"--kaa-{name}")
        if value is None and (text := config.getini(f"kaa_{name}")):
            try:
                value = kind(text)
            except ValueError:
                raise pytest.UsageError(f"kaa_{name} in the ini file is no {kind.__name__}: {text!r}") from None
        if value is not None:
            given[name] = value
    return given


@pytest.fixture
def kaa_cluster(request: pytest.FixtureRequest) -> "Iterator[Cluster | AsyncCluster]":
    """A new cluster: a kaa.Cluster, or for asynchronous tests a kaa.AsyncCluster. See the marker `kaa`."""
    from kaa.cluster.simulation.cluster import Cluster

    arguments = options_of(request.config)
    for marker in reversed(list(request.node.iter_markers("kaa"))):  # the closest one last: it wins
        if marker.args:
            raise pytest.UsageError(f"the marker kaa takes its arguments by name, as kaa.Cluster: {marker.args!r}")
        arguments |= marker.kwargs
    with Cluster(**arguments) as cluster:
        request.node.stash[CLUSTER] = cluster
        if not iscoroutinefunction(unwrap(request.function)):
            yield cluster
        elif cluster.settings.is_virtual:
            yield cluster.asynchronous
        else:
            yield cluster.bridge()


CLUSTER = pytest.StashKey["Cluster"]()
"""A test's own cluster."""

EVENTS_SHOWN = 20


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An asynchronous test on virtual time runs in its cluster's event loop."""
    cluster = pyfuncitem.stash.get(CLUSTER, None)
    # Another plugin may have wrapped the test to run in its loop.
    test = unwrap(pyfuncitem.obj)
    if cluster is None or not cluster.settings.is_virtual or not iscoroutinefunction(test):
        return None
    cluster.run(test(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what has happened in its cluster."""
    report = yield
    cluster = item.stash.get(CLUSTER, None)
    if cluster is not None and report.when == "call" and report.failed:
        from kaa.cluster.simulation.portrait import event_line

        events = cluster.list("events")
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        lines = [event_line(event) for event in events[-EVENTS_SHOWN:]]
        report.sections.append(("Events in the cluster", "\n".join(lines) or "  none"))
    return report


@pytest.fixture(scope="session")
def kaa_session_cluster(pytestconfig: pytest.Config) -> "Iterator[Cluster]":
    """One kaa.Cluster for all tests that ask for it. What one leaves in it the next one finds."""
    from kaa.cluster.simulation.cluster import Cluster

    with Cluster(**options_of(pytestconfig)) as cluster:
        yield cluster
