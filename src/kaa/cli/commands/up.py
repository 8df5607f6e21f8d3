"""`kaa up`."""

import asyncio
from pathlib import Path

import click

from kaa.cli.options import cluster_name, registry_mirrors, say
from kaa.cluster import lifecycle, spec
from kaa.cluster.addons import ensure_addons
from kaa.cluster.requirements import check_machine
from kaa.lib.clock import WallClock

NODE_SECONDS = 60.0
SIMULATED_NODE_SECONDS = 0.02
"""For each simulated node on top of that."""


@click.command("up")
@cluster_name
@click.option("--wait/--no-wait", default=False, help="Wait until every node is Ready.")
@click.option("--nodes", type=int, help="How many nodes (1; 0 with simulated ones), when the cluster is made.")
@click.option("--simulated-nodes", default=0, metavar="N", help="How many nodes without a machine, when it is made.")
@click.option(
    "--simulated-nodes-mode",
    type=click.Choice(["kubelet", "light"]),
    help="Each with the kubelet's own loop (default up to 50), or one process for thousands.",
)
@click.option("--api-port", type=click.IntRange(1, 65535), help="The API server's port; else the first free from 6443.")
@click.option("--isolated", is_flag=True, help="Give nodes no route out of this machine.")
@click.option(
    "--scheduler-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A KubeSchedulerConfiguration; kept with the cluster.",
)
@registry_mirrors
def command(
    name: str,
    wait: bool,
    nodes: int | None,
    simulated_nodes: int,
    simulated_nodes_mode: str | None,
    api_port: int | None,
    isolated: bool,
    scheduler_config: Path | None,
    mirrors: tuple[tuple[str, str], ...],
) -> None:
    """Start a cluster, or what is not running of it.

    Its kubeconfig is ~/.kaa/NAME/kubeconfig, and context kaa-NAME in ~/.kube/config. Simulated nodes run no containers:
    pods come up at once, and do what their annotations simulation.kaa.dev/... say. Beside real nodes they have the
    taint simulation.kaa.dev/node=simulated:NoSchedule.
    """
    check_machine()
    clock = WallClock()
    with spec.locked():
        cluster = next((c for c in spec.load_all() if c.name == name), None)
        if cluster is None:
            say(f'Creating cluster "{name}"')
            cluster = spec.create(
                name,
                api_port=api_port,
                node_count=nodes if nodes is not None else int(simulated_nodes == 0),
                isolated=isolated,
                registry_mirrors=dict(mirrors),
                simulated_nodes=simulated_nodes,
                simulated_kubelets=simulated_nodes_mode == "kubelet" if simulated_nodes_mode else None,
            )
        if scheduler_config is not None:
            keep_scheduler_config(cluster, scheduler_config)
        lifecycle.start(cluster, clock, say)
    asyncio.run(_wait(cluster, clock, nodes=wait))
    click.echo(f'Cluster "{name}" is up: {cluster.server_on_host}, context {cluster.context}', err=True)


def keep_scheduler_config(cluster: spec.ClusterSpec, path: Path) -> None:
    """A copy: with the cluster, and only once it is known to be good. Plugins' files stay where they are."""
    from kaa.scheduler.config import BadConfiguration
    from kaa.scheduler.config.configuration import read_configuration, with_absolute_files

    try:
        read_configuration(path)
        text = with_absolute_files(path)
    except BadConfiguration as error:
        raise spec.ClusterError(str(error)) from None
    cluster.scheduler_config.write_text(text)


async def _wait(cluster: spec.ClusterSpec, clock: WallClock, *, nodes: bool) -> None:
    client = lifecycle.client_of(cluster)
    try:
        await lifecycle.wait_for_server(cluster, client, clock)
        await ensure_addons(cluster, client)
        if nodes:
            say("Waiting for the nodes to be Ready")
            timeout_seconds = NODE_SECONDS + len(cluster.simulated_names) * SIMULATED_NODE_SECONDS
            await lifecycle.wait_for_nodes(cluster, client, clock, timeout_seconds)
    finally:
        await client.close()
