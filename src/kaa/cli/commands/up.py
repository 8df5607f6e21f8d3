"""`kaa up`."""

import asyncio

import click

from kaa.cli.options import cluster_name, registry_mirrors, say
from kaa.cluster import lifecycle, spec
from kaa.cluster.addons import ensure_addons
from kaa.cluster.requirements import check_machine
from kaa.lib.clock import WallClock

NODE_SECONDS = 60.0


@click.command("up")
@cluster_name
@click.option("--wait/--no-wait", default=False, help="Wait until every node is Ready.")
@click.option("--nodes", default=1, show_default=True, help="How many nodes (only when the cluster is made).")
@click.option("--api-port", type=click.IntRange(1, 65535), help="The API server's port; else the first free from 6443.")
@click.option("--isolated", is_flag=True, help="Give nodes no route out of this machine.")
@registry_mirrors
def command(
    name: str, wait: bool, nodes: int, api_port: int | None, isolated: bool, mirrors: tuple[tuple[str, str], ...]
) -> None:
    """Start a cluster, or what is not running of it.

    Its kubeconfig is ~/.kaa/NAME/kubeconfig, and context kaa-NAME in ~/.kube/config.
    """
    check_machine()
    clock = WallClock()
    with spec.locked():
        cluster = next((c for c in spec.load_all() if c.name == name), None)
        if cluster is None:
            say(f'Creating cluster "{name}"')
            cluster = spec.create(
                name, api_port=api_port, node_count=nodes, isolated=isolated, registry_mirrors=dict(mirrors)
            )
        lifecycle.start(cluster, clock, say)
    asyncio.run(_wait(cluster, clock, nodes=wait))
    click.echo(f'Cluster "{name}" is up: {cluster.server_on_host}, context {cluster.context}', err=True)


async def _wait(cluster: spec.ClusterSpec, clock: WallClock, *, nodes: bool) -> None:
    client = lifecycle.client_of(cluster)
    try:
        await lifecycle.wait_for_server(cluster, client, clock)
        await ensure_addons(cluster, client)
        if nodes:
            say("Waiting for the nodes to be Ready")
            await lifecycle.wait_for_nodes(cluster, client, clock, NODE_SECONDS)
    finally:
        await client.close()
