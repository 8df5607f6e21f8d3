"""`kaa scheduler`."""

from pathlib import Path
from socket import gethostname

import click

from kaa.cli.foreground import run_with_client
from kaa.cli.options import kubeconfig
from kaa.client.rest import Client
from kaa.cluster.spec import ClusterError
from kaa.lib.clock import WallClock
from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.loop import run_scheduler

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("scheduler")
@kubeconfig
@click.option("--config", type=FILE, help="A KubeSchedulerConfiguration: profiles, plugins, extenders.")
@click.option("--plugin", "plugins", multiple=True, type=FILE, help="A Python file with a plugin; see the docs.")
@click.option("--explain-socket", type=click.Path(path_type=Path), help="Where `kaa explain --socket` may ask.")
@click.option("--leader-elect", is_flag=True, help="Work only while no other scheduler does.")
def command(
    kubeconfig: str, config: Path | None, plugins: tuple[Path, ...], explain_socket: Path | None, leader_elect: bool
) -> None:
    """Run the scheduler in the foreground, against any Kubernetes API."""
    configuration = None
    if config is not None or plugins:
        from kaa.scheduler.config.configuration import read_configuration

        try:
            configuration = read_configuration(config, plugins)
        except BadConfiguration as error:
            raise ClusterError(str(error)) from None

    clock = WallClock()
    identity = f"{gethostname()}_{clock.uuid()}" if leader_elect else ""

    async def run(client: Client) -> None:
        await run_scheduler(client, clock, configuration=configuration, socket=explain_socket, identity=identity)

    run_with_client(kubeconfig, "kube-scheduler", run)
