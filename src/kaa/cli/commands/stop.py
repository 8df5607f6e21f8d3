"""`kaa stop`."""

import click

from kaa.cli.options import cluster_name, say
from kaa.cluster import lifecycle, spec
from kaa.cluster.requirements import check_machine


@click.command("stop")
@cluster_name
def command(name: str) -> None:
    """End all that runs of a cluster; `kaa up` goes on from its files."""
    check_machine()
    with spec.locked():
        lifecycle.stop(spec.load(name), say)
    click.echo(f'Cluster "{name}" is stopped. Go on with: kaa up --name {name}', err=True)
