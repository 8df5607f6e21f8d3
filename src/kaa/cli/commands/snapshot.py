"""`kaa snapshot`."""

from collections.abc import Callable
from pathlib import Path

import click

from kaa.cli.options import cluster_name
from kaa.cluster import spec
from kaa.cluster.spec import ClusterError
from kaa.store import snapshots
from kaa.store.snapshots import Snapshot
from kaa.store.store import StoreFailed


@click.group("snapshot")
def command() -> None:
    """Save a cluster's objects to a file, and restore them."""


@command.command("save")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@cluster_name
def save(file: Path, name: str) -> None:
    """Save all objects as they are at one moment, also while the cluster runs. FILE holds its Secrets, too."""
    cluster = spec.load(name)
    saved = _readably(lambda: snapshots.save(cluster.data_dir / "store", file))
    click.echo(f"Saved {_described(saved)} to {file}")


@command.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@cluster_name
def restore(file: Path, name: str) -> None:
    """Put the objects of a snapshot in place of a stopped cluster's, or of one that `kaa up` makes next."""
    if not spec.CLUSTER_NAME.fullmatch(name):
        raise ClusterError(f'"{name}" is not a cluster name: up to 40 lower-case letters, digits and "-"')
    with spec.locked():
        restored = _readably(lambda: snapshots.restore(file, spec.home() / name / "store"))
    click.echo(f"Restored {_described(restored)}; start the cluster with: kaa up --name {name}")


def _readably(work: Callable[[], Snapshot]) -> Snapshot:
    try:
        return work()
    except StoreFailed as error:
        raise ClusterError(str(error)) from None


def _described(snapshot: Snapshot) -> str:
    return f"{snapshot.keys} objects at revision {snapshot.revision} ({snapshot.size_bytes / 1e6:.1f} MB)"
