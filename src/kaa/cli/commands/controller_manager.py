"""`kaa controller-manager`."""

from pathlib import Path
from socket import gethostname

import click

from kaa.cli.foreground import run_with_client
from kaa.cli.options import kubeconfig
from kaa.client.rest import Client
from kaa.controllers import Options
from kaa.controllers.certificate_authority import FileAuthority
from kaa.controllers.runtime import run_controller_manager
from kaa.controllers.service_account_token import sign_with
from kaa.lib.clock import WallClock

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("controller-manager")
@kubeconfig
@click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True, help="Where nodes' pod ranges come from.")
@click.option("--root-ca-file", type=FILE, help="Published to pods.")
@click.option("--cluster-signing-cert-file", type=FILE, help="The authority that signs certificate requests.")
@click.option("--cluster-signing-key-file", type=FILE, help="Its key.")
@click.option("--service-account-private-key-file", type=FILE, help="Signs tokens in Secrets.")
@click.option("--leader-elect", is_flag=True, help="Work only while no other controller manager does.")
def command(
    kubeconfig: str,
    cluster_cidr: str,
    root_ca_file: Path | None,
    cluster_signing_cert_file: Path | None,
    cluster_signing_key_file: Path | None,
    service_account_private_key_file: Path | None,
    leader_elect: bool,
) -> None:
    """Run the controllers in the foreground, against any Kubernetes API."""
    clock = WallClock()
    authority = sign_token = None
    if service_account_private_key_file is not None:
        sign_token = sign_with(service_account_private_key_file.read_bytes)
    if cluster_signing_cert_file is not None and cluster_signing_key_file is not None:
        authority = FileAuthority(cluster_signing_cert_file, cluster_signing_key_file, clock)
    options = Options(
        cluster_cidr=cluster_cidr,
        root_ca_pem=root_ca_file.read_text() if root_ca_file else "",
        sign_token=sign_token,
        authority=authority,
    )
    identity = f"{gethostname()}_{clock.uuid()}" if leader_elect else ""

    async def run(client: Client) -> None:
        await run_controller_manager(client, clock, options=options, identity=identity)

    run_with_client(kubeconfig, "kube-controller-manager", run)
