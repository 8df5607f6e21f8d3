"""A cluster is there at once, a reset is quick, and when it has ended nothing of it is left in the process."""

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.simulation.objects import deployment, pod

from kaa import Cluster

QUICK_SECONDS = 0.05
"""What a second cluster, or a reset, may take until its first answer, in CPU time: others work on this machine, too."""

TRIES = 5


def best(work: Callable[[], None], prepare: Callable[[], object] = lambda: None) -> float:
    """The least CPU time of several tries, in seconds."""
    times = []
    for _ in range(TRIES):
        prepare()
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def files() -> list[str]:
    return sorted(os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists())


@pytest.mark.parametrize("clock", ["wall", "virtual"])
def test_a_second_cluster_and_a_reset_are_quick(clock: str) -> None:
    """Who makes a cluster for each test must not notice."""

    def first_answer() -> None:
        with Cluster(clock=clock) as c:
            c.list("pods")

    first_answer()
    assert best(first_answer) < QUICK_SECONDS
    with Cluster(clock=clock) as c:

        def use() -> None:
            c.wait("serviceaccount", "default", "create")
            c.apply(deployment())
            c.wait("deployment", "web", "Available")

        def reset() -> None:
            c.reset()
            assert c.list("pods") == []

        assert best(reset, use) < QUICK_SECONDS


@pytest.mark.parametrize("clock", ["wall", "virtual"])
def test_nothing_is_left(clock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, files, ports, directories and the objects themselves are gone when the block ends, used as it was."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Cluster(clock=clock):
        pass  # modules that are loaded once may keep a file open
    threads, before = threading.active_count(), files()
    for _ in range(3):
        with Cluster(clock=clock, nodes=2) as c:
            c.wait("serviceaccount", "default", "create")
            c.apply(pod("a"))
            c.wait("pod", "a", "Ready")
            assert c.logs("a") == ""
            c.faults.pause("kube-scheduler", for_=100)
            c.snapshot()
            if clock == "wall":
                assert Path(c.kubeconfig).exists()
            world = weakref.ref(c.world)
    del c
    assert threading.active_count() == threads
    assert files() == before
    assert list(tmp_path.iterdir()) == []
    gc.collect()
    assert world() is None


async def test_no_task_is_left() -> None:
    """In the caller's own event loop not one task outlives the block."""
    before = asyncio.all_tasks()
    async with Cluster(nodes=2) as c:
        await c.wait("node", "node-2", "Ready")
        c.faults.partition("node/*")
        await c.kubeconfig()
        assert len(asyncio.all_tasks()) > len(before)
    assert asyncio.all_tasks() == before


def test_a_start_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster whose start goes wrong takes its thread with it."""
    threads = threading.active_count()
    cluster = Cluster(nodes=0)

    async def fail() -> None:
        raise OSError("no")

    monkeypatch.setattr(cluster.asynchronous, "start", fail)
    with pytest.raises(OSError, match="no"):
        cluster.__enter__()
    assert threading.active_count() == threads


FIRST = """
import time
from kaa import Cluster
began = time.process_time()
with Cluster() as c:
    c.list("pods")
    print(time.process_time() - began)
"""

MANY = """
from contextlib import ExitStack
from kaa import Cluster
with ExitStack() as stack:
    clusters = [stack.enter_context(Cluster()) for _ in range(100)]
    for c in clusters:
        c.wait("node", "node-1", "Ready", timeout=300)
        c.list("pods")
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


def printed_by(program: str) -> float:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout)


def test_the_first_cluster_answers_at_once() -> None:
    """In a fresh process a test does not wait for its cluster: half a second, of which it takes a tenth."""
    assert min(printed_by(FIRST) for _ in range(3)) < 0.5


@pytest.mark.slow
def test_a_hundred_clusters_fit_into_a_process() -> None:
    """Each with controllers, scheduler and a node: together under 1.5 GB."""
    assert printed_by(MANY) * 1024 < 1.5e9


def test_import_kaa_is_cheap() -> None:
    """A program that only wants the version, or a pytest run without a cluster, loads no cluster."""
    program = "import sys, kaa, kaa.pytest_plugin; print(kaa.__version__, [m for m in sys.modules if 'kaa.' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1)[1].strip() == "['kaa.pytest_plugin']"


INTERRUPTED = """
import os, signal, threading
from kaa import Cluster
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    with Cluster(clock="{clock}") as c:
        c.run_for(days=300)
except KeyboardInterrupt:
    print(threading.active_count())
"""


@pytest.mark.parametrize("clock", ["wall", "virtual"])
def test_ctrl_c_ends_it(clock: str) -> None:
    """Whoever has waited long enough interrupts the test, and the cluster ends in good order."""
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED.format(clock=clock)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


API_ALONE = """
import sys
from kaa import Cluster
with Cluster(nodes=0, controllers=False, scheduler=False) as c:
    c.list("pods")
    print(sorted({"aiohttp", "grpclib", "numpy", "kaa.kubelet.loop", "kaa.scheduler.loop"} & sys.modules.keys()))
"""


def test_an_api_alone_loads_no_more_than_that() -> None:
    """What takes long to load is loaded by the component that needs it: the first answer does not wait for it."""
    done = subprocess.run([sys.executable, "-c", API_ALONE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
