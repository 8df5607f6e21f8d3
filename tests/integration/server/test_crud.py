"""Objects are made, read, changed and deleted through the API, for any kind."""

import pytest

from kaa.api.errors import APIError


def config_map(name: str, **data: str):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_an_object_has_the_servers_metadata(client):
    """uid, creationTimestamp and resourceVersion are the server's to write, whatever the body says."""
    made = await client.create({**config_map("a", k="v"), "metadata": {"name": "a", "uid": "mine"}}, "default")
    assert made["metadata"]["uid"] != "mine"
    assert made["metadata"]["namespace"] == "default"
    assert made["metadata"]["creationTimestamp"].endswith("Z")
    assert await client.get("ConfigMap", "a", "default") == made


async def test_a_taken_name_is_refused(client):
    """The text is what kubectl prints and tools look for."""
    await client.create(config_map("a"), "default")
    with pytest.raises(APIError) as refused:
        await client.create(config_map("a"), "default")
    assert refused.value.reason == "AlreadyExists"
    assert refused.value.message == 'configmaps "a" already exists'


async def test_an_update_of_an_old_version_conflicts(client):
    """Optimistic concurrency: who has read an older version must read again."""
    first = await client.create(config_map("a", k="1"), "default")
    second = await client.update({**first, "data": {"k": "2"}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    with pytest.raises(APIError) as refused:
        await client.update({**first, "data": {"k": "3"}})
    assert refused.value.reason == "Conflict"
    assert "the object has been modified; please apply your changes" in refused.value.message


async def test_an_update_that_changes_nothing_writes_nothing(client):
    """Controllers may write the same again and again: no new version, no event."""
    first = await client.create(config_map("a", k="1"), "default")
    assert await client.update(first) == first


async def test_generated_names_differ(client):
    """generateName gets a random end of five characters."""
    bodies = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}} for _ in range(5)]
    names = {(await client.create(body, "default"))["metadata"]["name"] for body in bodies}
    assert len(names) == 5
    assert all(name.startswith("a-") and len(name) == 7 for name in names)


async def test_deleting_answers_with_a_status(client):
    """Most kinds are gone at once, and the Status says which object it was."""
    made = await client.create(config_map("a"), "default")
    answer = await client.delete("ConfigMap", "a", "default")
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    with pytest.raises(APIError) as refused:
        await client.get("ConfigMap", "a", "default")
    assert refused.value.message == 'configmaps "a" not found'


async def test_an_object_with_finalizers_stays_until_they_are_gone(client):
    """A finalizer's owner finishes its work after the DELETE; the update that takes the last one away removes it."""
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    await client.create(body, "default")
    marked = await client.delete("ConfigMap", "a", "default")
    assert marked["metadata"]["deletionTimestamp"]
    await client.patch("ConfigMap", "a", {"metadata": {"finalizers": None}}, "default")
    with pytest.raises(APIError):
        await client.get("ConfigMap", "a", "default")


async def test_preconditions_protect_a_namesake(client):
    """A DELETE that names a uid never removes the object that came after it."""
    await client.create(config_map("a"), "default")
    with pytest.raises(APIError) as refused:
        await client.delete("ConfigMap", "a", "default", uid="other")
    assert refused.value.reason == "Conflict"


async def test_a_watch_gives_every_change_in_order(client):
    """From the list's version on: nothing is left out, nothing comes twice."""
    listed = await client.list("ConfigMap", "default")
    made = await client.create(config_map("a", k="1"), "default")
    await client.update({**made, "data": {"k": "2"}})
    await client.delete("ConfigMap", "a", "default")
    events = []
    async for event in client.watch("ConfigMap", "default", resource_version=listed.resource_version):
        events.append((event.type, event.object.get("data")))
        if len(events) == 3:
            break
    assert events == [("ADDED", {"k": "1"}), ("MODIFIED", {"k": "2"}), ("DELETED", {"k": "2"})]


async def test_lists_come_in_pages_of_one_version(client, transport):
    """A list that is cut short says where to go on; its pages are of one moment."""
    for name in "abcde":
        await client.create(config_map(name), "default")
    query = [("limit", "2")]
    first = await client.call("GET", "/api/v1/configmaps", query=query)
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    await client.create(config_map("bb"), "default")
    await client.delete("ConfigMap", "d", "default")
    query.append(("continue", first["metadata"]["continue"]))
    second = await client.call("GET", "/api/v1/configmaps", query=query)
    assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_an_event_is_selected_by_what_each_group_calls_its_fields(client):
    """One stored object: the core group's `reportingComponent` is events.k8s.io's `reportingController`."""
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "eventTime": "2030-01-01T00:00:00.000000Z",
        "reportingController": "example.com/tester",
        "reportingInstance": "tester-1",
        "action": "Test",
        "reason": "Tested",
        "type": "Normal",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    }
    await client.create(event, "default")
    for kind, field in (
        ("Event.events.k8s.io", "reportingController=example.com/tester"),
        ("Event.events.k8s.io", "regarding.name=p"),
        ("Event", "reportingComponent=example.com/tester"),
        ("Event", "involvedObject.name=p"),
        ("Event", "source=example.com/tester"),
    ):
        listed = await client.list(kind, "default", field_selector=field)
        assert [item["metadata"]["name"] for item in listed.items] == ["e"], field
        listed = await client.list(kind, "default", field_selector=field + "-not")
        assert listed.items == [], field
