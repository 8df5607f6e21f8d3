"""`kaa dns`."""

import asyncio
from pathlib import Path

import click

from kaa.cli.foreground import run_with_client
from kaa.cli.options import kubeconfig
from kaa.client.rest import Client
from kaa.client.view import Informers
from kaa.cluster.spec import CLUSTER_DOMAIN
from kaa.lib.clock import WallClock
from kaa.network.dns_server import DNSOptions, DNSServer, nameservers


@click.command("dns")
@kubeconfig
@click.option("--listen", "addresses", multiple=True, default=["127.0.0.1"], show_default=True)
@click.option("--port", default=53, show_default=True, type=click.IntRange(1, 65535))
@click.option("--cluster-domain", default=CLUSTER_DOMAIN, show_default=True)
@click.option("--forward/--no-forward", default=True, show_default=True, help="Ask this machine's resolvers too.")
def command(kubeconfig: str, addresses: tuple[str, ...], port: int, cluster_domain: str, forward: bool) -> None:
    """Run cluster DNS in the foreground, against any Kubernetes API."""
    upstreams = nameservers(Path("/etc/resolv.conf").read_text()) if forward else ()
    options = DNSOptions(cluster_domain, addresses, port, upstreams)

    async def run(client: Client) -> None:
        clock = WallClock()
        informers = Informers(client, clock)
        server = DNSServer(informers, clock, options)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(informers.run())
            tasks.create_task(server.run())

    run_with_client(kubeconfig, "kube-dns", run)
