"""`kaa kubelet`."""

import platform
from pathlib import Path

import click

from kaa.cli.foreground import run_with_client
from kaa.cli.options import UnixSocket, kubeconfig, own_address
from kaa.client.rest import Client
from kaa.cluster.spec import CLUSTER_DOMAIN
from kaa.cri.grpc_client import ImageClient, RuntimeClient, connect
from kaa.kubelet.loop import Kubelet
from kaa.kubelet.options import PORT, KubeletOptions
from kaa.lib.clock import WallClock

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("kubelet")
@kubeconfig
@click.option(
    "--container-runtime-endpoint",
    "endpoint",
    type=UnixSocket(),
    default="unix:///run/containerd/containerd.sock",
    show_default=True,
    help="Where CRI is served: `kaa runtime`, containerd, CRI-O.",
)
@click.option("--node-ip", help="This node's address; else the one on its default route.")
@click.option("--hostname-override", "node_name", default=platform.node(), show_default=True, help="The node's name.")
@click.option("--root-dir", default="/var/lib/kubelet", show_default=True, type=click.Path(path_type=Path))
@click.option("--pod-log-dir", default="/var/log/pods", show_default=True, type=click.Path(path_type=Path))
@click.option("--cgroup-root", default="/kubepods", show_default=True, help="Under which pods' cgroups are made.")
@click.option("--cluster-dns", multiple=True, default=["10.96.0.10"], show_default=True)
@click.option("--cluster-domain", default=CLUSTER_DOMAIN, show_default=True)
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(1, 65535))
@click.option("--tls-cert-file", type=FILE, help="With the next two: serve logs, exec and port-forward.")
@click.option("--tls-private-key-file", type=FILE)
@click.option("--client-ca-file", type=FILE, help="Whose certificates the API server comes with.")
@click.option("--max-pods", default=110, show_default=True)
def command(
    kubeconfig: str,
    endpoint: Path,
    node_ip: str | None,
    node_name: str,
    root_dir: Path,
    pod_log_dir: Path,
    cgroup_root: str,
    cluster_dns: tuple[str, ...],
    cluster_domain: str,
    port: int,
    tls_cert_file: Path | None,
    tls_private_key_file: Path | None,
    client_ca_file: Path | None,
    max_pods: int,
) -> None:
    """Run a kubelet in the foreground, against any Kubernetes API and any CRI runtime."""
    options = KubeletOptions(
        node_name=node_name,
        node_ip=node_ip or own_address(),
        root_dir=root_dir,
        cgroup_root=cgroup_root,
        cluster_dns=cluster_dns,
        cluster_domain=cluster_domain,
        serving_cert=tls_cert_file,
        serving_key=tls_private_key_file,
        client_ca=client_ca_file,
        port=port,
        max_pods=max_pods,
        pod_log_dir=pod_log_dir,
    )

    async def run(client: Client) -> None:
        channel = connect(str(endpoint))
        try:
            await Kubelet(client, RuntimeClient(channel), ImageClient(channel), WallClock(), options).run()
        finally:
            channel.close()

    run_with_client(kubeconfig, "kubelet", run)
