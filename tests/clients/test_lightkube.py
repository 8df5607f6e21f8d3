"""lightkube: a typed client on httpx that operators are written with."""

import threading
from collections.abc import Iterator

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace
from lightkube.types import PatchType

from tests.clients.running import Running

WAIT_SECONDS = 20


@pytest.fixture
def light(server: Running) -> Iterator[Client]:
    client = Client(config=KubeConfig.from_file(server.kubeconfig), namespace="default", field_manager="tests")
    yield client
    client.close()


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(
        apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name=name, labels={"test": "light"}), data=data
    )


def test_objects(light: Client) -> None:
    """Create, patch in three ways, list, delete; an error is an ApiError with the Status."""
    light.create(config_map("one", a="1"))
    assert light.patch(ConfigMap, "one", {"data": {"b": "2"}}).data == {"a": "1", "b": "2"}
    removed = [{"op": "remove", "path": "/data/a"}]
    assert light.patch(ConfigMap, "one", removed, patch_type=PatchType.JSON).data == {"b": "2"}
    merged = light.patch(ConfigMap, "one", {"data": {"b": None, "c": "3"}}, patch_type=PatchType.MERGE)
    assert merged.data == {"c": "3"}
    assert [found.metadata.name for found in light.list(ConfigMap, labels={"test": "light"})] == ["one"]
    assert "default" in {namespace.metadata.name for namespace in light.list(Namespace, chunk_size=1)}
    light.delete(ConfigMap, "one")
    with pytest.raises(ApiError) as gone:
        light.get(ConfigMap, "one")
    assert (gone.value.status.code, gone.value.status.reason) == (404, "NotFound")


def test_apply(light: Client) -> None:
    """Server-side apply: made, changed, refused to another manager, and taken over by force."""
    assert light.apply(config_map("applied", a="1")).data == {"a": "1"}
    assert light.apply(config_map("applied", b="2")).data == {"b": "2"}
    with pytest.raises(ApiError) as conflict:
        light.apply(config_map("applied", b="3"), field_manager="other")
    assert conflict.value.status.reason == "Conflict"
    assert light.apply(config_map("applied", b="3"), field_manager="other", force=True).data == {"b": "3"}
    light.delete(ConfigMap, "applied")


def test_watch(light: Client, server: Running) -> None:
    """A watch sees what happens to the objects of its labels."""
    listed = light.list(ConfigMap, labels={"test": "light"})
    assert list(listed) == []
    version = listed.resourceVersion
    seen: list[tuple[str, str]] = []

    def follow() -> None:
        watching = Client(config=KubeConfig.from_file(server.kubeconfig), namespace="default")
        for what, obj in watching.watch(ConfigMap, labels={"test": "light"}, resource_version=version):
            seen.append((what, obj.metadata.name))
            if what == "DELETED":
                break
        watching.close()

    following = threading.Thread(target=follow)
    following.start()
    light.create(config_map("watched"))
    light.patch(ConfigMap, "watched", {"data": {"a": "b"}})
    light.delete(ConfigMap, "watched")
    following.join(WAIT_SECONDS)
    assert seen == [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")]


def test_a_generic_resource(light: Client) -> None:
    """A kind that the client knows only by name, as it does custom ones."""
    leases = create_namespaced_resource("coordination.k8s.io", "v1", "Lease", "leases")
    made = light.create(leases(metadata=ObjectMeta(name="generic"), spec={"holderIdentity": "me"}))
    assert made.spec["holderIdentity"] == "me"
    light.delete(leases, "generic")
