"""A server and a client in this process: the memory store, no sockets, up in milliseconds."""

from collections.abc import AsyncIterator

import pytest
from tests.integration import upstream

from kaa.client.rest import Client
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.inprocess import InProcessTransport
from kaa.store.memory import MemoryStore


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "run the controllers' tests against the API server of this kubeconfig, which nobody else must use"
    parser.addoption("--kubeconfig", default="", help=help_text)


def pytest_configure(config: pytest.Config) -> None:
    upstream.KUBECONFIG = config.getoption("--kubeconfig", default="")


@pytest.fixture
async def server() -> AsyncIterator[APIServer]:
    """A running API server that trusts everybody, with the namespaces that every cluster has."""
    clock = WallClock()
    store = MemoryStore(clock)
    server = APIServer(store, clock)
    await server.start()
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        await server.writer.create("Namespace", {"metadata": {"name": name}})
    yield server
    await server.stop()
    await store.close()


@pytest.fixture
def transport(server: APIServer) -> InProcessTransport:
    return InProcessTransport(server.handle)


@pytest.fixture
def client(transport: InProcessTransport) -> Client:
    return Client(transport)
