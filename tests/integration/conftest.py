"""A server and a client in this process: the memory store, no sockets, up in milliseconds."""

from collections.abc import AsyncIterator

import pytest

from kaa.client.rest import Client
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.inprocess import InProcessTransport
from kaa.store.memory import MemoryStore


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
