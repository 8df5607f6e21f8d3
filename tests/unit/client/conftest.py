"""A list/watch server over loopback, and a client of it."""

from collections.abc import AsyncIterator

import pytest
from tests.fakes.list_watch_server import ListWatchServer

from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import ClientConfig
from kaa.client.rest import Client


@pytest.fixture
async def server() -> AsyncIterator[ListWatchServer]:
    async with ListWatchServer().serving() as serving:
        yield serving


@pytest.fixture
async def client(server: ListWatchServer) -> AsyncIterator[Client]:
    client = Client(HTTPTransport.from_config(ClientConfig(server.url)))
    yield client
    await client.close()
