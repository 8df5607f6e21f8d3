"""`kaa image`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import click
from rich.console import Console
from rich.table import Table

from kaa.cli.options import cluster_name
from kaa.cluster import spec
from kaa.cluster.requirements import check_machine
from kaa.cluster.spec import ClusterError, NodeSpec

Call = Callable[[aiohttp.ClientSession, NodeSpec], Awaitable[Any]]


@click.group("image")
def command() -> None:
    """Load, pull, list and remove images on a cluster's nodes."""


@command.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@cluster_name
def load(file: Path, name: str) -> None:
    """Load an OCI archive, or one written by `docker save`, into every node."""
    answers = _on_every_node(name, lambda session, _: _post(session, f"/load?path={quote(str(file.resolve()))}", {}))
    for image in dict.fromkeys(image for answer in answers for image in answer["names"]):
        click.echo(f"Loaded {image}")


@command.command("pull")
@click.argument("image")
@cluster_name
def pull(image: str, name: str) -> None:
    """Pull an image from its registry, through the host's own network, into every node."""

    async def call(session: aiohttp.ClientSession, node: NodeSpec) -> Any:
        click.echo(f"{node.name}: pulling {image}", err=True)
        return await _post(session, "/pull", {"image": {"image": image}})

    _on_every_node(name, call)
    click.echo(f"Pulled {image}")


@command.command("remove")
@click.argument("image")
@cluster_name
def remove(image: str, name: str) -> None:
    """Remove an image's name from every node, and the image with its last name."""
    _on_every_node(name, lambda session, _: _post(session, f"/remove?name={quote(image)}", {}))
    click.echo(f"Removed {image}")


@command.command("list")
@cluster_name
def list_images(name: str) -> None:
    """List the images of every node."""

    async def call(session: aiohttp.ClientSession, node: NodeSpec) -> Any:
        async with session.get("http://node/images") as response:
            return node.name, (await response.json()).get("images", [])

    table = Table(box=None, pad_edge=False, header_style="")
    for column in ("NODE", "IMAGE", "ID", "SIZE"):
        table.add_column(column, no_wrap=True)
    for node, images in _on_every_node(name, call):
        for image in images:
            for tag in image.get("repo_tags") or image.get("repo_digests") or ["<none>"]:
                size = f"{int(image.get('size', 0)) / 1e6:.1f} MB"
                table.add_row(node, tag, image["id"].removeprefix("sha256:")[:13], size)
    Console(highlight=False).print(table)


def _on_every_node(name: str, call: Call) -> list[Any]:
    check_machine()
    cluster = spec.load(name)

    async def run() -> list[Any]:
        return [await _on_node(cluster, node, call) for node in cluster.nodes]

    return asyncio.run(run())


async def _on_node(cluster: spec.ClusterSpec, node: NodeSpec, call: Call) -> Any:
    connector = aiohttp.UnixConnector(str(cluster.agent_socket(node)))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        try:
            return await call(session, node)
        except aiohttp.ClientConnectorError:
            raise ClusterError(f"node {node.name} does not answer; is the cluster up? See: kaa status") from None


async def _post(session: aiohttp.ClientSession, path: str, body: Any) -> Any:
    async with session.post(f"http://node{path}", json=body) as response:
        answer = await response.json()
        if response.status != 200:
            raise ClusterError(answer["error"])
        return answer
