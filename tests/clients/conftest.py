"""One API server for each module of tests; `controlled` has controllers, for clients that wait for what they do."""

from collections.abc import Iterator

import pytest

from tests.clients.running import Running, api_server, controllers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with api_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def controlled(server: Running) -> Iterator[Running]:
    with controllers(server):
        yield server
