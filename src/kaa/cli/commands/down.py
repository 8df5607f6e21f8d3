"""`kaa down`."""

import click

from kaa.cli.options import cluster_name, say
from kaa.cluster import lifecycle, spec
from kaa.cluster.requirements import check_machine


@click.command("down")
@cluster_name
def command(name: str) -> None:
    """Remove a cluster and everything it made on this machine."""
    check_machine()
    with spec.locked():
        cluster = next((c for c in spec.load_all() if c.name == name), None)
        if cluster is None:
            click.echo(f'No cluster "{name}": nothing to do.', err=True)
            return
        lifecycle.down(cluster, say)
    click.echo(f'Cluster "{name}" is gone.', err=True)
