"""OpenAPI as clients fetch it: the right encoding, an ETag that holds until a kind comes, descriptions."""

import orjson
import pytest

from kaa.api.messages import openapi_messages
from kaa.server.request import Request

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
OLD_SPELLING = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

WIDGETS = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


async def get(server, path, **headers):
    return await server.handle(
        Request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    )


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/json"),
        ("application/json", "application/json"),
        (PROTOBUF, PROTOBUF),
        (OLD_SPELLING, PROTOBUF),
        (f"{OLD_SPELLING},application/json", PROTOBUF),
    ],
)
async def test_v2_comes_as_asked_for(server, accept, content_type):
    """client-go asks for protobuf, by an old name that no server answers with; people and curl read JSON."""
    answer = await get(server, "/openapi/v2", accept=accept)
    assert (answer.status, answer.content_type) == (200, content_type)
    if content_type == PROTOBUF:
        definitions = openapi_messages().decode("Document", answer.body)["definitions"]["additional_properties"]
        names = {definition["name"] for definition in definitions}
    else:
        names = set(orjson.loads(answer.body)["definitions"])
    assert {"io.k8s.api.core.v1.Pod", "io.k8s.api.apps.v1.Deployment"} <= names


async def test_v2_refuses_what_it_cannot_write(server):
    """An encoding that is not there is a 406, not JSON under another name."""
    assert (await get(server, "/openapi/v2", accept="application/xml")).status == 406


async def test_etag_holds_until_a_kind_comes(server, client):
    """Clients keep a document as long as its ETag holds; a new kind must reach them."""
    first = await get(server, "/openapi/v2")
    assert (await get(server, "/openapi/v2", if_none_match=first.headers["etag"])).status == 304
    await client.create({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", **WIDGETS})
    while server.catalog.find("example.com", "v1", "widgets") is None:
        await server.clock.sleep(0.01)
    later = await get(server, "/openapi/v2", if_none_match=first.headers["etag"])
    assert later.status == 200
    assert "com.example.v1.Widget" in orjson.loads(later.body)["definitions"]


async def test_v3_describes_fields(server):
    """`kubectl explain` shows what a field is for, where the sentences are installed."""
    document = orjson.loads((await get(server, "/openapi/v3/api/v1")).body)
    pod = document["components"]["schemas"]["io.k8s.api.core.v1.Pod"]
    assert pod["description"].startswith("Pod is a collection of containers")
    assert pod["properties"]["spec"]["description"]
