"""A list in pages is of one revision for as long as the store remembers it, and says how much is left."""

import pytest

from kaa.api.errors import APIError

PATH = "/api/v1/namespaces/default/configmaps"


async def make(client, *names: str) -> None:
    for name in names:
        await client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}, "default")


async def page(client, *, token: str = "", limit: int = 2):
    return await client.call("GET", PATH, query=[("limit", str(limit)), *([("continue", token)] if token else [])])


def names_of(listed) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_a_page_of_the_past_says_how_many_follow(client):
    """The count is that of the list's revision, not of now: 5 objects when it began, whatever has come since."""
    await make(client, "a", "b", "c", "d", "e")
    first = await page(client)
    await make(client, "f", "g", "h")
    second = await page(client, token=first["metadata"]["continue"])
    assert names_of(second) == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert second["metadata"]["remainingItemCount"] == 1


async def test_a_token_that_is_compacted_is_exchanged_for_one_that_goes_on(client, server):
    """410 carries the token for the rest of the list as it is now: a client chooses to go on inconsistently."""
    await make(client, "a", "b", "c", "d", "e")
    first = await page(client)
    await make(client, "f")
    await server.store.compact(server.store.revision)
    with pytest.raises(APIError) as expired:
        await page(client, token=first["metadata"]["continue"])
    assert (expired.value.reason, expired.value.code) == ("Expired", 410)
    second = await page(client, token=expired.value.continue_token)
    assert names_of(second) == ["c", "d"]
    assert second["metadata"]["remainingItemCount"] == 2
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    third = await page(client, token=second["metadata"]["continue"])
    assert third["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert names_of(third) == ["e", "f"]


async def test_a_token_expires_however_quiet_its_kind_is(client, server):
    """Nothing of the kind has changed, so its pages could be made; a token is as old as its revision all the same."""
    await make(client, "a", "b", "c")
    first = await page(client)
    await client.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"}}, "default")
    await server.store.compact(server.store.revision)
    with pytest.raises(APIError) as expired:
        await page(client, token=first["metadata"]["continue"])
    assert expired.value.reason == "Expired"
