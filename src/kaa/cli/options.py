"""Options that several commands share, and how they print."""

import socket
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


class RegistryMirror(click.ParamType[tuple[str, str]]):
    """`DOMAIN=URL`: where images of that registry are looked for first."""

    name = "DOMAIN=URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        domain, _, url = value.partition("=")
        if not domain or not url.startswith(("http://", "https://")):
            self.fail("must be DOMAIN=URL, as in registry.example.com=http://127.0.0.1:5000", param, ctx)
        return domain, url


def registry_mirrors(command: F) -> F:
    """`--registry-mirror`, as pairs in `mirrors`."""
    return click.option(
        "--registry-mirror", "mirrors", multiple=True, type=RegistryMirror(), help="May be given several times."
    )(command)


def own_address() -> str:
    """This machine's address on the way out, as a kubelet takes it. Raises click.UsageError if there is no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # looks the route up; a datagram socket sends nothing for it
        except OSError:
            raise click.UsageError("this machine has no default route: give its address with --node-ip") from None
        return str(probe.getsockname()[0])


def say(step: str) -> None:
    """One step of a longer piece of work, as it begins."""
    click.echo(f" • {step}", err=True)
