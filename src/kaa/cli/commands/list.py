"""`kaa list`."""

import click

from kaa.cluster import lifecycle, spec


@click.command("list")
def command() -> None:
    """List this machine's clusters."""
    clusters = spec.load_all()
    if not clusters:
        click.echo("No clusters. Make one with: kaa up", err=True)
    for cluster in clusters:
        state = "running" if lifecycle.supervisor_of(cluster) else "stopped"
        click.echo(f"{cluster.name}\t{state}\t{cluster.server_on_host}")
