"""`kaa status`."""

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from kaa.cli.options import cluster_name
from kaa.cluster import spec
from kaa.cluster.status import component_statuses

MEBIBYTE = 1024 * 1024


@click.command("status")
@cluster_name
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(name: str, output: str) -> None:
    """Show a cluster's components: process, address, memory (PSS), restarts."""
    cluster = spec.load(name)
    rows = component_statuses(cluster)
    if output == "json":
        document = {
            "name": cluster.name,
            "kubeconfig": str(cluster.kubeconfig),
            "server": cluster.server_on_host,
            "context": cluster.context,
            "isolated": cluster.isolated,
            "components": [asdict(row) for row in rows],
        }
        click.echo(json.dumps(document, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="")
    for column, justify in (("COMPONENT", "left"), ("STATE", "left"), ("PID", "right"), ("ADDRESS", "left")):
        table.add_column(column, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("MEMORY", justify="right", no_wrap=True)
    table.add_column("RESTARTS", justify="right", no_wrap=True)
    for row in rows:
        memory = f"{row.memory_bytes / MEBIBYTE:.0f} MiB" if row.pid else "-"
        table.add_row(row.name, row.state, str(row.pid or "-"), row.address or "-", memory, str(row.restarts))
    console = Console(highlight=False)
    console.print(table)
    total = sum(row.memory_bytes for row in rows) / MEBIBYTE
    console.print(f"\nMemory in all: {total:.0f} MiB\nkubeconfig:    {cluster.kubeconfig}")
