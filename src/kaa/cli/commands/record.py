"""`kaa record`."""

import os
from pathlib import Path

import click

from kaa.api.errors import APIError
from kaa.cli.foreground import run_with_client
from kaa.cli.options import cluster_name
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.cluster import spec
from kaa.cluster.simulation.recording import Recorder
from kaa.cluster.spec import ClusterError
from kaa.lib.clock import WallClock

MEGABYTE = 1_000_000


@click.command("record")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@cluster_name
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False), help="Of a cluster that is not Kaa's own.")
@click.option("--max-size", default=100, show_default=True, help="Megabytes, after which the recording ends.")
@click.option("--exclude", multiple=True, metavar="RESOURCE", help="As in leases, secrets. May be given several times.")
def command(file: Path, name: str, kubeconfig: str | None, max_size: int, exclude: tuple[str, ...]) -> None:
    """Write every change of every object of a running cluster to FILE, until interrupted.

    FILE has a line of JSON for each change; it holds Secrets, too, unless they are excluded.
    """
    from_where = kubeconfig if kubeconfig is not None else str(spec.load(name).kubeconfig)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)  # it may have been there, for all to read
    with os.fdopen(descriptor, "wb") as output:
        recorders: list[Recorder] = []

        async def run(client: Client) -> None:
            recorders.append(Recorder(client, WallClock(), output, max_size * MEGABYTE, exclude))
            try:
                await recorders[0].run()
            except (APIError, TransportError) as error:
                raise ClusterError(f"cannot record: {error}") from None

        run_with_client(from_where, "kaa-record", run)
    for recorder in recorders:
        click.echo(f"Recorded {recorder.lines} changes ({recorder.size_bytes / MEGABYTE:.1f} MB) to {file}")
