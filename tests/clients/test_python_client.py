"""The official Python client: typed API, list and watch as informers do it, and the dynamic client."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError

from tests.clients.running import Running

NAMESPACE = "default"
WAIT_SECONDS = 20


@pytest.fixture(scope="module")
def api(server: Running) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(server.kubeconfig)) as connected:
        yield connected


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"test": "python"}), data=data)


def test_the_typed_api(api: client.ApiClient) -> None:
    """Create, read, patch, replace, list by label, delete; errors come with their code."""
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(NAMESPACE, config_map("typed", a="1"))
    assert made.metadata.uid
    assert core.read_namespaced_config_map("typed", NAMESPACE).data == {"a": "1"}
    patched = core.patch_namespaced_config_map("typed", NAMESPACE, {"data": {"b": "2"}})
    assert patched.data == {"a": "1", "b": "2"}
    patched.data = {"c": "3"}
    assert core.replace_namespaced_config_map("typed", NAMESPACE, patched).data == {"c": "3"}
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("typed", NAMESPACE, patched)
    assert stale.value.status == 409
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="test=python", limit=10)
    assert [item.metadata.name for item in listed.items] == ["typed"]
    core.delete_namespaced_config_map("typed", NAMESPACE)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("typed", NAMESPACE)
    assert gone.value.status == 404


def test_typed_models_understand_every_answer(api: client.ApiClient) -> None:
    """Models check what they are given: a field that is missing or of the wrong type would raise here."""
    apps, rbac = client.AppsV1Api(api), client.RbacAuthorizationV1Api(api)
    labels = {"app": "models"}
    pod = client.V1PodSpec(containers=[client.V1Container(name="a", image="example.com/a:1")])
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=pod)
    spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template)
    deployment = client.V1Deployment(metadata=client.V1ObjectMeta(name="models"), spec=spec)
    made = apps.create_namespaced_deployment(NAMESPACE, deployment)
    assert made.spec.strategy.rolling_update.max_surge == "25%"
    assert apps.read_namespaced_deployment_scale("models", NAMESPACE).spec.replicas == 2
    scaled = apps.patch_namespaced_deployment_scale("models", NAMESPACE, {"spec": {"replicas": 5}})
    assert scaled.spec.replicas == 5
    apps.delete_namespaced_deployment("models", NAMESPACE)
    assert "cluster-admin" in {role.metadata.name for role in rbac.list_cluster_role().items}
    assert client.VersionApi(api).get_code().major == "1"
    assert {"apps", "batch"} <= {group.name for group in client.ApisApi(api).get_api_versions().groups}


def test_list_and_watch(api: client.ApiClient) -> None:
    """A watch from a list's version tells of everything since, in order, as an informer needs it."""
    core = client.CoreV1Api(api)
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="test=python")
    seen: list[tuple[str, str]] = []

    def follow() -> None:
        stream = watch.Watch()
        for event in stream.stream(
            core.list_namespaced_config_map,
            NAMESPACE,
            label_selector="test=python",
            resource_version=listed.metadata.resource_version,
            timeout_seconds=WAIT_SECONDS,
        ):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                stream.stop()

    following = threading.Thread(target=follow)
    following.start()
    core.create_namespaced_config_map(NAMESPACE, config_map("watched"))
    core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "b"}})
    core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="unseen")))
    core.delete_namespaced_config_map("watched", NAMESPACE)
    core.delete_namespaced_config_map("unseen", NAMESPACE)
    following.join(WAIT_SECONDS)
    assert seen == [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")]


def definition(plural: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }


def test_the_dynamic_client(api: client.ApiClient, tmp_path: Any) -> None:
    """Kinds found by discovery, a custom one made on the way; server-side apply with its conflicts."""
    dynamically = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery.json"))
    definitions = dynamically.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
    definitions.create(definition("planets", "Planet"))
    for event in definitions.watch(field_selector="metadata.name=planets.example.com", timeout=WAIT_SECONDS):
        conditions = event["raw_object"].get("status", {}).get("conditions", [])
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            break
    dynamically.resources.invalidate_cache()
    planets = dynamically.resources.get(api_version="example.com/v1", kind="Planet")
    body = {"apiVersion": "example.com/v1", "kind": "Planet", "metadata": {"name": "mars"}, "spec": {"moons": 2}}
    planets.server_side_apply(body, namespace=NAMESPACE, field_manager="astronomer")
    with pytest.raises(ConflictError, match="astronomer"):
        planets.server_side_apply({**body, "spec": {"moons": 3}}, namespace=NAMESPACE, field_manager="poet")
    assert planets.get(name="mars", namespace=NAMESPACE).spec.moons == 2
    planets.patch({"spec": {"moons": 4}}, name="mars", namespace=NAMESPACE, content_type="application/merge-patch+json")
    assert [item.spec.moons for item in planets.get(namespace=NAMESPACE).items] == [4]
    planets.delete(name="mars", namespace=NAMESPACE)
    definitions.delete(name="planets.example.com")
