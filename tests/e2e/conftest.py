"""One cluster for all end-to-end tests of a run; each test has a namespace of its own in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import RunningCluster, eventually, load_image, new_cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="real containers need root"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A one-node cluster with no way out of the machine, and the sample's image in it."""
    home = tmp_path_factory.mktemp("cluster")
    made = new_cluster("e2e", home)
    made.up()
    try:
        load_image(made, home)
        yield made
    finally:
        made.down()


@pytest.fixture
def namespace(cluster: RunningCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test, with its default ServiceAccount; deleted afterwards."""
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "").lower()[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    eventually(lambda: cluster.get("-n", name, "serviceaccount", "default"), "default ServiceAccount")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
