"""An API server for each module of tests: a lone process, and then a cluster in this one, through its kubeconfig.

`controlled` has controllers, for clients that wait for what they do.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaa import Cluster
from tests.clients.running import Running, api_server, controllers


@pytest.fixture(scope="module", params=["process", "imported"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("server")
    if request.param == "process":
        with api_server(directory) as running:
            yield running
    else:
        with Cluster(nodes=0, scheduler=False) as cluster:
            yield Running(Path(cluster.kubeconfig), directory / "apiserver.log", is_controlled=True)


@pytest.fixture(scope="module")
def controlled(server: Running) -> Iterator[Running]:
    if server.is_controlled:
        yield server
        return
    with controllers(server):
        yield server
