"""`kaa controller-manager`."""

from pathlib import Path
from socket import gethostname

import click

from kaa.cli.foreground import run_with_client
from kaa.cli.options import kubeconfig
from kaa.client.rest import Client
from kaa.controllers import Options
from kaa.controllers.runtime import run_controller_manager
from kaa.lib.clock import WallClock


@click.command("controller-manager")
@kubeconfig
@click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True, help="Where nodes' pod ranges come from.")
@click.option("--root-ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Published to pods.")
@click.option("--leader-elect", is_flag=True, help="Work only while no other controller manager does.")
def command(kubeconfig: str, cluster_cidr: str, root_ca_file: Path | None, leader_elect: bool) -> None:
    """Run the controllers in the foreground, against any Kubernetes API."""
    authority = root_ca_file.read_text() if root_ca_file else ""
    options = Options(cluster_cidr=cluster_cidr, root_ca_pem=authority)

    async def run(client: Client) -> None:
        clock = WallClock()
        identity = f"{gethostname()}_{clock.uuid()}" if leader_elect else ""
        await run_controller_manager(client, clock, options=options, identity=identity)

    run_with_client(kubeconfig, run)
