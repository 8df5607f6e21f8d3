"""`python -m bench.scheduler`: the scheduler's workloads, through the API and deciding alone; a section of
docs/BENCHMARKS.md.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from bench import scheduler_api, scheduler_deciding
from bench.report import BENCHMARKS, SCHEDULER_HEADING, with_section
from bench.scheduler_memory import Held, measure_held
from bench.scheduler_workloads import WORKLOADS, Workload

UPSTREAM = {"SchedulingNodeAffinity": 118, "TopologySpreading": 92, "SchedulingPodAntiAffinity": 88}
"""Pods a second on such a machine."""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--output", type=click.Path(path_type=Path), default=BENCHMARKS, show_default=True)
def main(names: tuple[str, ...], output: Path) -> None:
    """Measure all workloads and write them down; or only those named, without writing."""
    load = os.getloadavg()[0]
    rows = []
    for workload in WORKLOADS:
        if names and workload.name not in names:
            continue
        row = _row(workload, scheduler_deciding.measure(workload), _through_api(workload))
        click.echo(row)
        rows.append(row)
    if not names:
        section = "\n".join(_section(rows, load, measure_held()))
        output.write_text(with_section(output.read_text(), SCHEDULER_HEADING, section))
        click.echo(section)


def _through_api(workload: Workload) -> scheduler_api.Bound:
    with (
        tempfile.TemporaryDirectory(prefix="kaa-bench-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(scheduler_api.measure(workload, Path(directory)))


def _row(workload: Workload, decided: scheduler_deciding.Decided, bound: scheduler_api.Bound) -> str:
    through_api, alone = workload.least_per_second
    cells = (
        workload.name,
        f"{bound.per_second:,.0f}",
        f"{through_api:,}" if through_api else "",
        str(UPSTREAM.get(workload.name, "")),
        _micros(bound.server_cpu_seconds),
        _micros(bound.scheduler_cpu_seconds),
        f"{decided.per_second:,.0f}",
        f"{alone:,}" if alone else "",
        f"{_micros(decided.p50_seconds)} | {_micros(decided.p99_seconds)}",
    )
    return f"| {' | '.join(cells)} |"


def _micros(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} us"


def _section(rows: list[str], load: float, held: Held) -> Iterator[str]:
    yield f"Written by `make bench-scheduler` on {datetime.now(UTC):%Y-%m-%d}; load of the machine before: {load:.1f}."
    yield "Workloads of upstream's scheduler_perf, by their names: 5,000 nodes, and 3,000 pods that are measured (1,000"
    yield "that preempt). Through the API: server, scheduler and client are processes here, TLS between them;"
    yield "counted are bound pods a second, from the first one's creation to the last one's binding. CPU is by pod."
    yield "Deciding alone is one process without an API: queue, plugins, assumed pods; the best of three rounds."
    yield ""
    through_api = "pods/s through the API | at least | upstream | CPU, server | CPU, scheduler"
    yield f"| workload | {through_api} | decisions/s alone | at least | p50 | p99 |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    yield from rows
    yield ""
    yield f"{held.pods:,} pods on {held.nodes:,} nodes, held in the snapshot: {held.bytes / 1e6:.0f} MB resident,"
    yield f"of which {held.pod_bytes:.0f} bytes a pod; the informer keeps {held.cached_pod_bytes:.0f} more of each."
    yield f"A decision (required topology spread) then takes {_micros(held.p50_seconds)} (p50),"
    yield f"{_micros(held.p99_seconds)} (p99)."


if __name__ == "__main__":
    main()
