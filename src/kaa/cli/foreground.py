"""One component alone in the foreground: logs to stderr, ends cleanly on SIGTERM and Ctrl-C."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import KubeconfigError, load_kubeconfig
from kaa.client.rest import Client
from kaa.cluster import logs
from kaa.cluster.spec import ClusterError
from kaa.cluster.uvloop_runner import run_until_signal


def run_foreground(work: Callable[[], Awaitable[None]]) -> None:
    """Runs the component until it is told to end. What a person can mend is a ClusterError."""
    logs.log_to_stderr()
    try:
        run_until_signal(work)
    except* OSError as group:
        raise ClusterError("; ".join(str(error) for error in group.exceptions)) from None


def run_with_client(kubeconfig: str, component: str, work: Callable[[Client], Awaitable[None]]) -> None:
    """The same, with a client of the API server that the kubeconfig names, under the component's name."""
    try:
        config = load_kubeconfig(Path(kubeconfig))
    except KubeconfigError as error:
        raise ClusterError(str(error)) from None

    async def run() -> None:
        client = Client(HTTPTransport.from_config(config, component))
        try:
            await work(client)
        finally:
            await client.close()

    run_foreground(run)
