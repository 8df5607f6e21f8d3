"""`kaa replay`."""

import asyncio
from pathlib import Path

import click

from kaa.cli.foreground import run_foreground, run_with_client
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.recording import BadRecording, lines_of
from kaa.cluster.simulation.replaying import APIStage, Stage, StoreStage, replay
from kaa.cluster.simulation.settings import Settings
from kaa.cluster.spec import ClusterError
from kaa.lib.clock import WallClock


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False), help="The cluster to play into.")
@click.option("--speed", default=1.0, show_default=True, help="How many times as fast as it was; 0: at once.")
def command(file: Path, kubeconfig: str | None, speed: float) -> None:
    """Play what `kaa record` has written.

    Without a kubeconfig a new cluster in memory shows it, with nobody at work in it; it stays until it is interrupted.
    """
    if speed < 0:
        raise click.UsageError("--speed must not be negative")

    async def play(stage: Stage) -> None:
        try:
            played, passed_over = await replay(lines_of(file), stage, WallClock(), speed)
        except (BadRecording, TransportError) as error:
            raise ClusterError(str(error)) from None
        click.echo(f"Played {played} changes; {passed_over} were not possible here")

    async def into_cluster(client: Client) -> None:
        await play(APIStage(client))

    async def in_memory() -> None:
        async with AsyncCluster(Settings(nodes=0, controllers=False, scheduler=False)) as cluster:
            click.echo(f"export KUBECONFIG={await cluster.kubeconfig()}")
            await play(StoreStage(cluster.world))
            await asyncio.Event().wait()

    if kubeconfig is None:
        run_foreground(in_memory)
    else:
        run_with_client(kubeconfig, "kaa-replay", into_cluster)
