"""The pytest plugin, in runs of pytest of its own: what people write in their tests, and how they set it up."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import asyncio
import pytest

SPEC = {"containers": [{"name": "c", "image": "x"}]}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": SPEC}
"""

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs tests in a process; returns what pytest says."""

    def run(tests: str, *arguments: str, ini: str = INI, passed: int) -> str:
        (tmp_path / "test_it.py").write_text(HEAD + tests)
        (tmp_path / "pytest.ini").write_text(ini)
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:schemathesis", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert f"{passed} passed" in done.stdout, done.stdout + done.stderr
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def test_a_cluster_for_each_test(run) -> None:  # type: ignore[no-untyped-def]
    """What one test leaves the next one does not find; the session's cluster keeps it."""
    run(
        """
@pytest.mark.parametrize("again", [1, 2])
def test_own(kaa_cluster, again):
    assert kaa_cluster.list("pods") == []
    kaa_cluster.apply(POD)
    kaa_cluster.wait("pod", "a", "Ready")

def test_shared_first(kaa_session_cluster):
    kaa_session_cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "left"}})

def test_shared_second(kaa_session_cluster):
    kaa_session_cluster.get("namespace", "left")
""",
        passed=4,
    )


def test_options(run) -> None:  # type: ignore[no-untyped-def]
    """The command line wins over the ini file, the marker over both; the session's cluster has no marker."""
    run(
        """
def test_options(kaa_cluster):
    assert kaa_cluster.settings.nodes == 2
    assert kaa_cluster.settings.clock == "virtual"
    assert kaa_cluster.settings.seed == 11

@pytest.mark.kaa(nodes=["x"], clock="wall", scheduler=False)
def test_marker(kaa_cluster, kaa_session_cluster):
    assert kaa_cluster.settings.node_names == ["x"]
    assert kaa_cluster.settings.clock == "wall"
    assert not kaa_cluster.settings.scheduler
    assert kaa_session_cluster.settings.nodes == 2
""",
        "--kaa-seed=11",
        "--strict-markers",
        ini=INI + "kaa_nodes = 2\nkaa_clock = virtual\nkaa_seed = 5\n",
        passed=2,
    )


ASYNCHRONOUS = """
@pytest.mark.asyncio
async def test_wall(kaa_cluster):
    loop = asyncio.get_running_loop()
    await kaa_cluster.apply(POD)
    await kaa_cluster.wait("pod", "a", "Ready")
    async for event in kaa_cluster.client.watch("Pod", "default"):
        assert event.object["metadata"]["name"] == "a"
        break
    with pytest.raises(Exception, match='pods "b" not found'):
        await kaa_cluster.client_of("me", "system:masters").get("Pod", "b", "default")

    async def running():
        assert asyncio.get_running_loop() is loop
        return (await kaa_cluster.get("pod", "a"))["status"]["phase"] == "Running"

    assert await kaa_cluster.run_until(running)

    @kaa_cluster.image("job")
    async def job(container):
        container.log("done")

    spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "job"}]}
    await kaa_cluster.apply({**POD, "metadata": {"name": "job"}, "spec": spec})
    await kaa_cluster.wait("pod", "job", "jsonpath={.status.phase}=Succeeded")
    assert await kaa_cluster.logs("job") == "done\\n"
"""

VIRTUAL = """
@pytest.fixture
def seconds():
    return 3600

@pytest.mark.kaa(clock="virtual", seed=3)
async def test_virtual(kaa_cluster, seconds):
    await kaa_cluster.apply(POD)
    await kaa_cluster.wait("pod", "a", "Ready")
    before = kaa_cluster.now
    await asyncio.sleep(seconds)
    assert (kaa_cluster.now - before).total_seconds() == seconds

class TestInAClass:
    @pytest.mark.kaa(clock="virtual", nodes=0)
    @pytest.mark.parametrize("hours", [1, 2])
    async def test_method(self, kaa_cluster, hours):
        await kaa_cluster.run_for(hours=hours)
"""


def test_asynchronous_tests(run) -> None:  # type: ignore[no-untyped-def]
    """On the wall clock they stay in their own event loop; the cluster's coroutines are awaited from there."""
    run(ASYNCHRONOUS, passed=1)


def test_asynchronous_tests_on_virtual_time(run) -> None:  # type: ignore[no-untyped-def]
    """A test's own sleeping is on the cluster's time; no other plugin is needed, nor in the way."""
    run(VIRTUAL, "-p", "no:asyncio", "-p", "no:anyio", ini="[pytest]\n", passed=3)
    run(VIRTUAL, ini=INI + "asyncio_mode = auto\n", passed=3)
    run(VIRTUAL, passed=3)


FAILING = """
def test_plain(kaa_cluster):
    kaa_cluster.apply({**POD, "spec": {**SPEC, "nodeName": "", "nodeSelector": {"disk": "fast"}}})
    kaa_cluster.wait("pod", "a", "condition=PodScheduled=False")
    kaa_cluster.run_until(lambda: kaa_cluster.list("events"))
    assert 1 == 2

@pytest.mark.kaa(clock="virtual", nodes=0)
async def test_asynchronous(kaa_cluster):
    assert 3 == 4
"""


def test_failures_are_failures(tmp_path: Path) -> None:
    """A failed assertion is reported as in any other test, with what has happened in the cluster."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(HEAD + FAILING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", "-p", "no:asyncio"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "assert 1 == 2" in done.stdout
    assert "assert 3 == 4" in done.stdout
    assert "2 failed" in done.stdout
    plain, asynchronous = done.stdout.split("Events in the cluster")[1:]
    assert "Warning FailedScheduling pod/a: 0/1 nodes are available" in plain
    assert asynchronous.splitlines()[1] == "  none"


def test_runs_without_a_cluster_load_none(run) -> None:  # type: ignore[no-untyped-def]
    """The plugin is in every run of pytest: one that asks for no cluster pays nothing for it."""
    run(
        """
import sys

def test_nothing():
    assert [name for name in sys.modules if name.startswith("kaa.")] == ["kaa.pytest_plugin"]
""",
        passed=1,
    )


MISTAKES = """
@pytest.mark.kaa("virtual")
def test_by_position(kaa_cluster):
    raise AssertionError

@pytest.fixture
async def prepared(kaa_cluster):
    await kaa_cluster.apply(POD)
    return kaa_cluster

@pytest.mark.kaa(clock="virtual")
async def test_in_another_loop(prepared):
    raise AssertionError
"""


def test_mistakes_are_told(tmp_path: Path) -> None:
    """A marker that would do nothing, a fixture whose loop is not on the cluster's time, an ini file with no number."""
    (tmp_path / "test_it.py").write_text(HEAD + MISTAKES)
    (tmp_path / "pytest.ini").write_text(INI + "asyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "2 errors" in done.stdout
    assert "the marker kaa takes its arguments by name" in done.stdout
    assert "cannot run inside another event loop" in done.stdout
    (tmp_path / "pytest.ini").write_text(INI + "kaa_nodes = three\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "kaa_nodes in the ini file is no int: 'three'" in done.stdout
