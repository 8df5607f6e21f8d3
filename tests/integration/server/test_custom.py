"""Custom kinds are served like built-in ones, from the moment their definition is established."""

import asyncio
from collections.abc import Callable

import pytest

from kaa.api.errors import APIError
from kaa.server.custom.schema import PRESERVE

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                "replicas": {"type": "integer"},
            },
        },
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}, "replicas": {"type": "integer"}}},
    },
}


def definition(**version):
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": SCHEMA},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                    **version,
                }
            ],
        },
    }


def widget(name="w", **spec):
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


@pytest.fixture
async def widgets(server, client):
    """The row of an established kind, in the client's catalog too."""
    await client.create(definition())
    await eventually(lambda: server.catalog.find("example.com", "v1", "widgets") is not None)
    client.catalog.add(server.catalog.find("example.com", "v1", "widgets"))
    return server.catalog.find("example.com", "v1", "widgets")


async def test_a_definition_is_established(client, widgets):
    """kubectl waits for these conditions before it makes objects of the kind."""
    made = await client.get("CustomResourceDefinition", "widgets.example.com")
    conditions = {c["type"]: c["status"] for c in made["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert made["status"]["storedVersions"] == ["v1"]
    discovered = await client.call("GET", "/apis/example.com/v1")
    assert [r["name"] for r in discovered["resources"]] == ["widgets", "widgets/status", "widgets/scale"]


async def test_objects_are_pruned_defaulted_and_validated(client, transport, widgets):
    """The structural schema does for custom kinds what the types do for built-in ones."""
    made = await client.create(widget(size=1, other=2), "default")
    assert made["spec"] == {"size": 1, "color": "red"}
    with pytest.raises(APIError) as refused:
        await client.create(widget("v", size=0, color="green"), "default")
    assert refused.value.reason == "Invalid"
    assert 'spec.color: Unsupported value: "green"' in refused.value.message
    assert (
        "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1" in refused.value.message
    )
    with pytest.raises(APIError) as refused:
        await client.create(widget("v", size=1, other=1), "default", query=[("fieldValidation", "Strict")])
    assert 'strict decoding error: unknown field "spec.other"' in refused.value.message


async def test_embedded_metadata_is_metadata(server, client):
    """What an embedded object's metadata should not have is an unknown field like any other."""
    template = {"type": "object", "x-kubernetes-embedded-resource": True, PRESERVE: True}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"template": template}}}}
    await client.create(definition(schema={"openAPIV3Schema": schema}, subresources={}))
    await eventually(lambda: server.catalog.find("example.com", "v1", "widgets") is not None)
    client.catalog.add(server.catalog.find("example.com", "v1", "widgets"))
    embedded = {"apiVersion": "v1", "kind": "Sub", "metadata": {"name": "s", "nmae": "t"}, "any": 1}
    made = await client.create(widget(template=embedded), "default")
    assert made["spec"]["template"] == {**embedded, "metadata": {"name": "s"}}
    with pytest.raises(APIError, match=r'unknown field "spec\.template\.metadata\.nmae"'):
        await client.create(widget("v", template=embedded), "default", query=[("fieldValidation", "Strict")])


async def test_status_and_scale_are_apart(client, widgets):
    """Who writes the status cannot change what is wanted, and generation counts only that."""
    made = await client.create({**widget(size=1), "status": {"ready": True}}, "default")
    assert not made.get("status")
    updated = await client.update_status({**made, "spec": {"size": 9}, "status": {"ready": True}})
    assert updated["spec"]["size"] == 1
    assert updated["status"] == {"ready": True}
    assert updated["metadata"]["generation"] == 1
    scaled = await client.patch(widgets, "w", {"spec": {"replicas": 3}}, "default", subresource="scale")
    assert scaled["kind"] == "Scale"
    assert (await client.get(widgets, "w", "default"))["spec"]["replicas"] == 3


async def test_columns_are_the_definitions(client, transport, widgets):
    """`kubectl get` shows the columns that the definition asks for."""
    await client.create(widget(size=7), "default")
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    answer = await transport.request("GET", "/apis/example.com/v1/widgets", headers=accept)
    assert b'"cells":["w",7]' in answer.body


async def test_deleting_a_definition_deletes_its_objects(server, client, widgets):
    """Objects whose kind is gone could never be reached again."""
    await client.create(widget(size=1), "default")
    await client.delete("CustomResourceDefinition", "widgets.example.com")
    await eventually(lambda: server.catalog.find("example.com", "v1", "widgets") is None)
    page = await server.store.range("/registry/example.com/")
    assert page.items == []
    with pytest.raises(APIError) as refused:
        await client.get("CustomResourceDefinition", "widgets.example.com")
    assert refused.value.reason == "NotFound"


async def test_what_is_stored_gets_the_defaults_that_came_later(server, client, widgets):
    """A new default holds for every object that is read, and one that is gone stays with those that got it."""
    await client.create(widget(size=1), "default")
    shape = {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer"}}}
    colors = {"color": {"type": "string"}, "shade": {"type": "string", "default": "dark"}}
    schema = {"type": "object", "properties": {"spec": {**shape, "properties": {**shape["properties"], **colors}}}}
    await client.patch(
        "CustomResourceDefinition",
        "widgets.example.com",
        [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}],
        patch_type="json",
    )
    await eventually(lambda: server.catalog.find("example.com", "v1", "widgets") is not widgets)
    expected = {"size": 1, "color": "red", "shade": "dark"}
    assert (await client.get(widgets, "w", "default"))["spec"] == expected
    assert [item["spec"] for item in (await client.list(widgets, "default")).items] == [expected]
    async for event in client.watch(widgets, "default", resource_version="0"):
        assert event.object["spec"] == expected
        break


async def test_a_watch_ends_when_its_definition_changes(server, client, widgets):
    """Its events would go on to have the form of the old schema; whoever comes back gets the new one."""
    listed = await client.list(widgets, "default")
    watch = client.watch(widgets, "default", resource_version=listed.resource_version)
    ended = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    change = [{"op": "add", "path": "/spec/names/categories", "value": ["all"]}]
    await client.patch("CustomResourceDefinition", "widgets.example.com", change, patch_type="json")
    async with asyncio.timeout(5):
        assert await ended is None


async def test_versions_select_by_fields_of_their_own(server, client):
    """One stored object, seen through two schemas that offer different fields to select by."""
    fields = {name: {"type": "string"} for name in ("host", "port")}
    schema = {"openAPIV3Schema": {"type": "object", "properties": fields}}
    made = definition(schema=schema, subresources={}, selectableFields=[{"jsonPath": ".host"}])
    made["spec"]["versions"].append(
        {**made["spec"]["versions"][0], "name": "v2", "storage": False, "selectableFields": [{"jsonPath": ".port"}]}
    )
    await client.create(made)
    await eventually(lambda: server.catalog.find("example.com", "v2", "widgets") is not None)
    rows = {version: server.catalog.find("example.com", version, "widgets") for version in ("v1", "v2")}
    client.catalog.add(rows["v1"])
    for name, port in (("a", "80"), ("b", "90")):
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}
        await client.create({**body, "host": f"host-{name}", "port": port}, "default")
    listed = await client.list(rows["v1"], "default", field_selector="host=host-a")
    assert [item["metadata"]["name"] for item in listed.items] == ["a"]
    listed = await client.list(rows["v2"], "default", field_selector="port=90")
    assert [item["metadata"]["name"] for item in listed.items] == ["b"]


async def test_what_is_not_supported_is_refused(client):
    """Rules that would silently not hold are worse than an error."""
    schema = {"type": "object", "x-kubernetes-validations": [{"rule": "self.spec.size > 1"}]}
    with pytest.raises(APIError) as refused:
        await client.create(definition(schema={"openAPIV3Schema": schema}))
    assert "validation rules in CEL are not supported" in refused.value.message


async def test_definitions_go_on_after_the_cache_was_filled_anew(server, client):
    """Behind a compaction the watch cache begins again, and ends all watches: the server's own must come back."""
    await server.cache.load()
    await client.create(definition())
    await eventually(lambda: server.catalog.find("example.com", "v1", "widgets") is not None)
