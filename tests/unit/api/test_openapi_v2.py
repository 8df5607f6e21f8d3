"""OpenAPI v2: the same facts in the older notation, and in gnostic's protobuf."""

import re
from typing import Any

import orjson

from kaa.api.kinds import builtin_catalog
from kaa.api.messages import openapi_messages
from kaa.api.openapi_v2 import PRESERVE, document_v2, encode_v2
from kaa.api.resource import Catalog, Resource

DOCUMENT = document_v2(builtin_catalog(), server_version="v1.37.0")


def test_document_is_whole() -> None:
    """Every reference is a definition, and none of v3's notation is left."""
    text = orjson.dumps(DOCUMENT).decode()
    assert set(re.findall(r'#/definitions/([^"]+)', text)) <= set(DOCUMENT["definitions"])
    assert "#/components" not in text
    assert '"oneOf":[' not in text
    pod = DOCUMENT["definitions"]["io.k8s.api.core.v1.PodSpec"]
    assert pod["properties"]["containers"]["items"] == {"$ref": "#/definitions/io.k8s.api.core.v1.Container"}


def test_protobuf_says_the_same() -> None:
    """A client that reads protobuf finds the kinds, their fields and their merge keys."""
    decoded = openapi_messages().decode("Document", encode_v2(DOCUMENT))
    definitions = {d["name"]: d["value"] for d in decoded["definitions"]["additional_properties"]}
    assert set(definitions) == set(DOCUMENT["definitions"])
    spec = definitions["io.k8s.api.core.v1.PodSpec"]
    fields = {p["name"]: p["value"] for p in spec["properties"]["additional_properties"]}
    containers = fields["containers"]
    assert containers["type"] == {"value": ["array"]}
    assert containers["items"]["schema"][0]["_ref"] == "#/definitions/io.k8s.api.core.v1.Container"
    extensions = {e["name"]: orjson.loads(e["value"]["yaml"]) for e in containers["vendor_extension"]}
    assert extensions["x-kubernetes-patch-merge-key"] == "name"
    assert {path["name"] for path in decoded["paths"]["path"]} == set(DOCUMENT["paths"])
    patch = next(p for p in decoded["paths"]["path"] if p["name"].endswith("/pods/{name}"))["value"]["patch"]
    names = [p["parameter"]["non_body_parameter"]["query_parameter_sub_schema"]["name"] for p in patch["parameters"]]
    assert "dryRun" in names


def custom_definition(schema: dict[str, Any]) -> dict[str, Any]:
    catalog = Catalog()
    catalog.add(Resource(kind="Widget", group="example.com", version="v1", schema=schema))
    definitions = document_v2(catalog, server_version="v1.37.0")["definitions"]
    found: dict[str, Any] = definitions["com.example.v1.Widget"]
    del found["x-kubernetes-group-version-kind"]
    return found


def test_a_custom_kind_that_preserves_everything_has_no_properties() -> None:
    """kubectl would refuse every field but those."""
    assert custom_definition({"type": "object", PRESERVE: True}) == {"type": "object"}


def test_fields_that_allow_more_than_they_say_have_no_type() -> None:
    """kubectl checks types and properties itself, and knows neither null nor fields that are preserved."""
    found = custom_definition(
        {
            "type": "object",
            "required": ["maybe", "plain"],
            "properties": {
                "any": {"type": "object", PRESERVE: True, "properties": {"a": {"type": "string"}}},
                "maybe": {"type": "string", "nullable": True},
                "list": {"type": "array", "items": {"type": "string", "anyOf": [{"minLength": 1}]}},
                "plain": {"type": "integer"},
            },
        }
    )
    assert {name: found["properties"][name] for name in ("any", "maybe", "list", "plain")} == {
        "any": {PRESERVE: True},
        "maybe": {},
        "list": {"type": "array", "items": {"type": "string"}},
        "plain": {"type": "integer"},
    }
    assert found["required"] == ["plain"]
    assert found["properties"]["metadata"]["$ref"].endswith("meta.v1.ObjectMeta")
