"""`kaa explain`."""

from pathlib import Path

import click
import orjson

from kaa.cli.options import cluster_name
from kaa.cluster import spec
from kaa.cluster.spec import ClusterError


@click.command("explain")
@click.argument("kind", type=click.Choice(["pod"]))
@click.argument("pod")
@cluster_name
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--nodes", type=click.IntRange(0), default=100, show_default=True, help="At most so many rows.")
@click.option("--socket", type=click.Path(path_type=Path), help="Of a scheduler with --explain-socket.")
def command(kind: str, pod: str, name: str, namespace: str, output: str, nodes: int, socket: Path | None) -> None:
    """Show why a pod is on its node, or on none: what each plugin said of each node when it was decided on."""
    from kaa.scheduler.explain_socket import ask
    from kaa.scheduler.explaining import table

    path = socket if socket is not None else spec.load(name).scheduler_socket
    try:
        told = ask(path, namespace, pod, nodes)
    except (OSError, ValueError) as error:
        raise ClusterError(f"the scheduler does not answer at {path}: {error}") from None
    if output == "json":
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    else:
        click.echo("\n".join(table(told)))
