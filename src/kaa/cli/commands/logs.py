"""`kaa logs`."""

import os
import shutil

import click

from kaa.cli.options import cluster_name
from kaa.cluster import logs, spec
from kaa.cluster.spec import ClusterError


@click.command("logs")
@click.argument("component")
@cluster_name
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("--tail", type=click.IntRange(0), help="Only the last lines.")
def command(component: str, name: str, follow: bool, tail: int | None) -> None:
    """Print a component's log (see `kaa status` for their names)."""
    cluster = spec.load(name)
    known = sorted(path.name.removesuffix(".log") for path in cluster.logs.glob("*.log"))
    if component not in known:
        raise ClusterError(f'no component "{component}"; there are: {", ".join(known)}')
    path = cluster.logs / f"{component}.log"
    lines = [line for file in logs.files_of(path) for line in file.read_text(errors="replace").splitlines()]
    click.echo("\n".join(lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]))
    if follow:
        program = shutil.which("tail")
        assert program is not None  # coreutils: on every Debian
        os.execv(program, [program, "-n", "0", "-F", str(path)])
