"""`kaa scheduler`."""

import click

from kaa.cli.foreground import run_with_client
from kaa.cli.options import kubeconfig
from kaa.client.rest import Client
from kaa.lib.clock import WallClock
from kaa.scheduler.loop import run_scheduler


@click.command("scheduler")
@kubeconfig
def command(kubeconfig: str) -> None:
    """Run the scheduler in the foreground, against any Kubernetes API."""

    async def run(client: Client) -> None:
        await run_scheduler(client, WallClock())

    run_with_client(kubeconfig, "kube-scheduler", run)
