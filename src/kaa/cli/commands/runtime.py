"""`kaa runtime`."""

import asyncio
from pathlib import Path

import click

from kaa.cli.foreground import run_foreground
from kaa.cli.options import UnixSocket, registry_mirrors
from kaa.cri.grpc_server import serve
from kaa.cri.runtime import RuntimeConfig, open_runtime
from kaa.lib.clock import WallClock
from kaa.network.pod_network import RoutedPodNetwork


@click.command("runtime")
@click.option("--listen", required=True, type=UnixSocket(), help="Where CRI is served.")
@click.option("--root", default="/var/lib/kaa", show_default=True, help="Images, layers and records.")
@click.option("--state", default="/run/kaa", show_default=True, help="What goes with a restart of the machine.")
@click.option("--pod-cidr", default="", help="The node's pod range; else the kubelet tells it.")
@registry_mirrors
def command(listen: Path, root: str, state: str, pod_cidr: str, mirrors: tuple[tuple[str, str], ...]) -> None:
    """Run the container runtime in the foreground, for any kubelet or crictl."""

    async def run() -> None:
        network = RoutedPodNetwork(Path(root) / "network")
        config = RuntimeConfig(Path(root), Path(state), registry_mirrors=dict(mirrors))
        runtime, images = open_runtime(config, network, WallClock(), set_pod_range=network.set_range)
        async with asyncio.TaskGroup() as tasks:
            await network.restore()
            tasks.create_task(runtime.run())
            tasks.create_task(serve(runtime, images, listen))
            if pod_cidr:
                await network.set_range(pod_cidr)

    run_foreground(run)
