"""Options that several commands share, and how they print."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_NAME = "dev"


def cluster_name(command: F) -> F:
    """`--name`: which cluster."""
    return click.option("--name", default=DEFAULT_NAME, show_default=True, help="The cluster's name.")(command)


def kubeconfig(command: F) -> F:
    """`--kubeconfig`: how to reach the API server, for a component in the foreground."""
    return click.option(
        "--kubeconfig",
        required=True,
        type=click.Path(exists=True, dir_okay=False),
        help="The API server to work against, and as whom.",
    )(command)


class UnixSocket(click.ParamType[Path]):
    """`unix:///PATH`, as a path."""

    name = "unix:///PATH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not value.startswith("unix:///"):
            self.fail("must be unix:///PATH", param, ctx)
        return Path(value.removeprefix("unix://"))


def say(step: str) -> None:
    """One step of a longer piece of work, as it begins."""
    click.echo(f" • {step}", err=True)
