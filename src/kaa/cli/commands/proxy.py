"""`kaa proxy`."""

import asyncio
import platform

import click

from kaa.cli.foreground import run_with_client
from kaa.cli.options import kubeconfig, own_address
from kaa.client.rest import Client
from kaa.client.view import Informers
from kaa.lib.clock import WallClock
from kaa.network.nftables import NodeAddresses
from kaa.network.proxy import ProxyOptions, ServiceProxy


@click.command("proxy")
@kubeconfig
@click.option("--node-name", default=platform.node(), show_default=True, help="To know its own endpoints by.")
@click.option("--node-ip", "node_ips", multiple=True, help="What answers node ports; else the default route's address.")
@click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True, help="The range of all pods.")
@click.option("--service-cluster-ip-range", default="10.96.0.0/16", show_default=True)
def command(
    kubeconfig: str, node_name: str, node_ips: tuple[str, ...], cluster_cidr: str, service_cluster_ip_range: str
) -> None:
    """Run the service proxy of this machine in the foreground, against any Kubernetes API.

    Its rules (nftables, table `ip kaa`) stay when it ends.
    """
    addresses = NodeAddresses(cluster_cidr, service_cluster_ip_range, node_ips or (own_address(),), ())

    async def run(client: Client) -> None:
        clock = WallClock()
        informers = Informers(client, clock)
        proxy = ServiceProxy(informers, clock, ProxyOptions(node_name, addresses))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(informers.run())
            tasks.create_task(proxy.run())

    run_with_client(kubeconfig, "kube-proxy", run)
