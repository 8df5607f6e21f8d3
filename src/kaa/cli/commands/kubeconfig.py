"""`kaa kubeconfig`."""

import click

from kaa.cli.options import cluster_name
from kaa.cluster import spec


@click.command("kubeconfig")
@cluster_name
@click.option("--path", is_flag=True, help="Print the file's path instead of its content.")
def command(name: str, path: bool) -> None:
    """Print a cluster's kubeconfig."""
    cluster = spec.load(name)
    click.echo(str(cluster.kubeconfig) if path else cluster.kubeconfig.read_text(), nl=path)
