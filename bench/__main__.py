"""`python -m bench`: measures, prints, and writes docs/BENCHMARKS.md. Under four minutes."""

import asyncio
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from bench import api_server, cluster
from bench.report import BENCHMARKS, SEPARATE_HEADINGS, report, section_of, with_section
from bench.target import connected, started
from kaa.client.kubeconfig import load_kubeconfig


@click.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path, exists=True), help="Measure this server, not our own.")
@click.option("--pids", default="", help="Its processes on this machine, by comma: their CPU and memory is measured.")
@click.option("--output", type=click.Path(path_type=Path), default=BENCHMARKS, show_default=True)
def main(kubeconfig: Path | None, pids: str, output: Path) -> None:
    """Measure what requests cost an API server and, as root, what a whole cluster costs."""
    load_before = os.getloadavg()[0]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if kubeconfig is not None:
            api = runner.run(measure_server(kubeconfig, [int(pid) for pid in pids.split(",") if pid]))
        else:
            api = runner.run(measure_own())
    whole = cluster.measure() if kubeconfig is None and os.geteuid() == 0 else None
    command = "python -m bench" if kubeconfig is not None else "make bench"
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    text = report(command, date, (load_before, os.getloadavg()[0]), api, whole)
    before = output.read_text() if output.exists() else ""
    for heading in SEPARATE_HEADINGS:
        if section := section_of(before, heading):
            text = with_section(text, heading, section)
    output.write_text(text)
    click.echo(text)


async def measure_own() -> api_server.Found:
    with tempfile.TemporaryDirectory(prefix="kaa-bench-") as directory:
        async with started(Path(directory)) as target:
            return await api_server.measure(target)


async def measure_server(kubeconfig: Path, pids: list[int]) -> api_server.Found:
    async with connected(load_kubeconfig(kubeconfig), pids) as target:
        return await api_server.measure(target)


if __name__ == "__main__":
    main()
