"""`make bench-import`: what the cluster that one imports costs. Writes its section of docs/BENCHMARKS.md.

Each figure is taken in a process of its own, which prints it.
"""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kaa import Cluster

TRIES = 10
CLUSTERS = 100
LATE_SECONDS = 10
"""What starts up late has started by then."""
IDLE_SECONDS = 20

Found = dict[str, dict[str, float]]
"""What was measured, by unit."""


class Watch:
    """Takes the time and the CPU since it was made, by name."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def taken(self) -> dict[str, float]:
        return {"time": time.perf_counter() - self._began[0], "cpu": time.process_time() - self._began[1]}


def first() -> Found:
    """A fresh process: import, first answer, node Ready."""
    watch = Watch()
    from kaa import Cluster

    found = {"import": watch.taken()}
    watch = Watch()
    with Cluster() as c:
        c.list("pods")
        found["answer"] = watch.taken()
        c.wait("node", "node-1", "Ready")
        found["node"] = watch.taken()
    return found


def second() -> Found:
    """Another cluster, until its first answer."""
    from kaa import Cluster

    use(Cluster())
    watch = Watch()
    with Cluster() as c:
        c.list("pods")
        return {"answer": watch.taken()}


def reset() -> Found:
    """A cluster that has been used, made new, until its first answer."""
    from kaa import Cluster

    use(Cluster())
    with Cluster() as c:
        c.wait("node", "node-1", "Ready")
        c.wait("serviceaccount", "default", "create")
        watch = Watch()
        c.reset()
        c.list("pods")
        return {"answer": watch.taken()}


def use(cluster: "Cluster") -> None:
    """So that all modules are loaded."""
    with cluster as c:
        c.wait("node", "node-1", "Ready")


def hundred() -> Found:
    """Clusters at once, each with controllers, a scheduler and a node that is Ready."""
    from kaa import Cluster

    use(Cluster())
    gc.collect()
    before = resident_bytes()
    with ExitStack() as stack:
        clusters = [stack.enter_context(Cluster()) for _ in range(CLUSTERS)]
        for c in clusters:
            c.wait("node", "node-1", "Ready", timeout=300)
        resident = resident_bytes()
        time.sleep(LATE_SECONDS)
        watch = Watch()
        time.sleep(IDLE_SECONDS)
        idle = watch.taken()["cpu"] / IDLE_SECONDS / CLUSTERS
    return {"bytes": {"all": resident, "each": (resident - before) / CLUSTERS}, "idle": {"cpu": idle}}


def virtual_hour() -> Found:
    """An hour of virtual time in which nobody does anything."""
    from kaa import Cluster

    with Cluster(clock="virtual") as c:
        c.settle()
        watch = Watch()
        c.run_for(hours=1)
        return {"hour": watch.taken()}


MEASURES: dict[str, Callable[[], Found]] = {
    "first": first,
    "second": second,
    "reset": reset,
    "hundred": hundred,
    "virtual_hour": virtual_hour,
}


def resident_bytes() -> float:
    with open("/proc/self/statm") as file:
        return float(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_process(name: str) -> Found:
    command = [sys.executable, "-m", "bench.imported", "--measure", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: Found = json.loads(done.stdout)
    return found


def virtual_day() -> dict[str, float]:
    """A busy day, in two processes at once whose hashes differ. Raises RuntimeError unless both lived the same."""
    command = [sys.executable, "-m", "tests.integration.simulation.virtual_day"]
    began = time.perf_counter()
    days = [
        subprocess.Popen(command, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE) for seed in "12"
    ]
    one, other = (json.loads(day.communicate()[0]) for day in days)
    if one["digest"] != other["digest"]:
        raise RuntimeError(f"two days of one seed differ: {one}, {other}")
    return {"time": time.perf_counter() - began, "cpu": max(one["cpu_seconds"], other["cpu_seconds"])}


def section(load: float) -> str:
    from bench.report import machine  # imports much of Kaa, which is to be measured

    starts, seconds, resets = ([in_process(name) for _ in range(TRIES)] for name in ("first", "second", "reset"))
    many, hour, day = in_process("hundred"), in_process("virtual_hour"), virtual_day()

    def both(tries: list[Found], what: str) -> str:
        taken = (min(found[what][unit] for found in tries) * 1e3 for unit in ("time", "cpu"))
        return " | ".join(f"{value:.0f} ms" for value in taken)

    rows = (
        ("`from kaa import Cluster` in a fresh process", both(starts, "import"), ""),
        ("`Cluster()` until the first answer there", both(starts, "answer"), "500 ms"),
        ("`Cluster()` until its node is Ready there", both(starts, "node"), ""),
        ("a second cluster until its first answer", both(seconds, "answer"), "50 ms"),
        ("a reset until the first answer", both(resets, "answer"), "50 ms"),
        ("an idle hour of virtual time", both([hour], "hour"), ""),
        ("a virtual day: 20 CronJobs, 10 Deployments", f"{day['time']:.0f} s | {day['cpu']:.0f} s", "60 s"),
        ("a second of an idle cluster's life", f" | {many['idle']['cpu'] * 1e3:.2f} ms", ""),
        (f"{CLUSTERS} clusters at once, resident", f"{many['bytes']['all'] / 1e6:.0f} MB | ", "1,500 MB"),
        ("each of them", f"{many['bytes']['each'] / 1e6:.1f} MB | ", ""),
    )
    head = (
        f"Written by `make bench-import` on {datetime.now(UTC):%Y-%m-%d}. {machine()};",
        f"load of the machine before: {load:.1f}. Each cluster has the API server, all controllers, the scheduler and",
        "one simulated node. Of several processes the cheapest; CPU is all of the process, components included. In the",
        "virtual day the CronJobs run every five minutes and the Deployments are rolled over every hour, on one",
        "light node; it is lived twice at once, with two hash seeds, and both must write the same to the last byte.",
        "",
        "| what | measured | CPU | at most |",
        "|---|---|---|---|",
    )
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


@click.command()
@click.option("--measure", type=click.Choice(list(MEASURES)), help="Print one measure of this process as JSON.")
def main(measure: str | None) -> None:
    """Measure the imported cluster."""
    if measure is not None:
        click.echo(json.dumps(MEASURES[measure]()))
        return
    from bench.report import BENCHMARKS, IMPORTED_HEADING, with_section

    text = section(os.getloadavg()[0])
    BENCHMARKS.write_text(with_section(BENCHMARKS.read_text(), IMPORTED_HEADING, text))
    click.echo(text)


if __name__ == "__main__":
    main()
