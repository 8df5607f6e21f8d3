"""OpenAPI v3: complete in itself, agreeing with discovery, and what kubectl looks for is there."""

import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import orjson
import pytest

from kaa.api.descriptions import describe
from kaa.api.kinds import builtin_catalog
from kaa.api.openapi import document, index
from kaa.api.resource import STATUS, Resource

CATALOG = builtin_catalog()
PATHS = index(CATALOG)["paths"]


def document_at(path: str) -> dict[str, Any]:
    *_, group, version = path.split("/")
    return document(CATALOG, "" if path.startswith("api/") else group, version, server_version="v1.37.0")


@pytest.mark.parametrize("path", PATHS)
def test_every_reference_is_in_the_document(path: str) -> None:
    """A client reads one group version's document alone."""
    found = document_at(path)
    references = set(re.findall(r'#/components/schemas/([^"]+)', orjson.dumps(found).decode()))
    assert references <= set(found["components"]["schemas"])
    assert PATHS[path]["serverRelativeURL"].startswith(f"/openapi/v3/{path}?hash=")


def test_paths_follow_the_rows() -> None:
    """Verbs and subresources of a row are the methods of its paths, with the kind that explain searches for."""
    paths = document_at("apis/apps/v1")["paths"]
    deployments = paths["/apis/apps/v1/namespaces/{namespace}/deployments"]
    assert {"get", "post", "delete"} <= set(deployments)
    one = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert one["patch"]["x-kubernetes-action"] == "patch"
    assert one["get"]["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    scale = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert scale["get"]["x-kubernetes-group-version-kind"]["kind"] == "Scale"
    assert [p["name"] for p in one["parameters"]] == ["name", "namespace"]


def test_schemas() -> None:
    """Types, required fields and merge keys, under upstream's names."""
    schemas = document_at("apis/apps/v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    assert spec["required"] == ["containers"]
    containers = spec["properties"]["containers"]
    assert containers["items"] == {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    deployment = schemas["io.k8s.api.apps.v1.Deployment"]
    assert deployment["x-kubernetes-group-version-kind"] == [{"group": "apps", "version": "v1", "kind": "Deployment"}]


def test_descriptions_come_from_outside() -> None:
    """With the package that has them they appear; without, nothing breaks."""
    described = document(CATALOG, "apps", "v1", server_version="v1.37.0", describe=describe)
    port = described["components"]["schemas"]["io.k8s.api.core.v1.ContainerPort"]["properties"]["containerPort"]
    assert port["description"].startswith("Number of port to expose on the pod's IP address.")
    assert "\n" not in port["description"]
    assert describe("no.v1.Such") == ("", {})


def test_descriptions_need_no_other_package() -> None:
    """The package with the descriptions cannot be imported without the client that it is a part of, so it is not."""
    program = "import sys; from kaa.api.descriptions import describe; assert describe('core.v1.Pod')[0]"
    check = "assert not any(name.startswith('lightkube') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", f"{program}; {check}"], check=True, timeout=60)


def test_custom_kinds() -> None:
    """A custom kind's document holds its own schema, and the hash changes with it."""
    catalog = builtin_catalog()
    widget = Resource(
        kind="Widget",
        group="example.com",
        version="v1",
        subresources=(STATUS,),
        schema={"type": "object", "properties": {"spec": {"type": "object"}}},
    )
    catalog.add(widget)
    found = document(catalog, "example.com", "v1", server_version="v1.37.0")
    schema = found["components"]["schemas"]["com.example.v1.Widget"]
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    before = index(catalog)["paths"]["apis/example.com/v1"]
    catalog.add(replace(widget, schema={"type": "object"}))
    assert index(catalog)["paths"]["apis/example.com/v1"] != before
    with pytest.raises(KeyError):
        document(catalog, "example.com", "v2", server_version="v1.37.0")


def test_what_is_in_every_object_is_described_in_custom_kinds_too() -> None:
    """`kubectl explain` says what apiVersion is, also of an object that is embedded in a custom one."""

    def describe(name: str) -> tuple[str, dict[str, str]]:
        return "", {"apiVersion": "The version.", "metadata": "The metadata."}

    template = {"type": "object", "x-kubernetes-embedded-resource": True}
    schema = {"type": "object", "properties": {"templates": {"type": "array", "items": template}}}
    catalog = builtin_catalog()
    catalog.add(Resource(kind="Widget", group="example.com", version="v1", schema=schema))
    found = document(catalog, "example.com", "v1", server_version="v1.37.0", describe=describe)
    properties = found["components"]["schemas"]["com.example.v1.Widget"]["properties"]
    assert properties["apiVersion"] == {"type": "string", "description": "The version."}
    assert properties["metadata"]["description"] == "The metadata."
    embedded = properties["templates"]["items"]["properties"]
    assert embedded["apiVersion"]["description"] == "The version."
    assert schema["properties"]["templates"]["items"] == template
