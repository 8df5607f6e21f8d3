"""Discovery: the same rows from the aggregated form and from the older one."""

import asyncio
from typing import Any

import pytest
from tests.fakes.list_watch_server import ListWatchServer

from kaa.api.errors import APIError
from kaa.client.discovery import discover, with_verbs
from kaa.client.rest import Client

READ = ["get", "list", "watch"]


def aggregated(group: str, *versions: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": group}, "versions": list(versions)}


def entry(kind: str, group: str, version: str, *, scope: str = "Namespaced", verbs: list[str] = READ) -> dict[str, Any]:
    return {
        "resource": kind.lower() + "s",
        "responseKind": {"group": group, "version": version, "kind": kind},
        "scope": scope,
        "verbs": verbs,
        "shortNames": [kind[:2].lower()],
        "categories": ["all"],
        "subresources": [{"subresource": "status", "responseKind": {"kind": kind}, "verbs": ["get", "update"]}],
    }


def listed(kind: str, *, namespaced: bool = True, verbs: list[str] = READ) -> list[dict[str, Any]]:
    return [
        {
            "name": kind.lower() + "s",
            "kind": kind,
            "namespaced": namespaced,
            "verbs": verbs,
            "shortNames": [kind[:2].lower()],
            "categories": ["all"],
        },
        {"name": kind.lower() + "s/status", "kind": kind, "namespaced": namespaced, "verbs": ["get", "update"]},
    ]


def serve_aggregated(server: ListWatchServer) -> None:
    roots = {
        "/api": [aggregated("", {"version": "v1", "resources": [entry("Pod", "", "v1"), entry("Event", "", "v1")]})],
        "/apis": [
            aggregated(
                "example.com",
                {"version": "v1", "resources": [entry("Widget", "example.com", "v1", scope="Cluster")]},
                {"version": "v1beta1", "resources": [entry("Widget", "example.com", "v1beta1", scope="Cluster")]},
            ),
            aggregated(
                "events.k8s.io", {"version": "v1", "resources": [entry("Event", "events.k8s.io", "v1", verbs=READ)]}
            ),
        ],
    }
    for root, items in roots.items():
        server.objects[root] = {"kind": "APIGroupDiscoveryList", "items": items}


def serve_legacy(server: ListWatchServer) -> None:
    def versions(*names: str) -> list[dict[str, str]]:
        return [{"version": name} for name in names]

    server.objects |= {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/api/v1": {"resources": listed("Pod") + listed("Event")},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [
                {
                    "name": "example.com",
                    "versions": versions("v1beta1", "v1"),
                    "preferredVersion": {"version": "v1"},
                },
                {"name": "events.k8s.io", "versions": versions("v1")},
                {"name": "down.example.com", "versions": versions("v1")},
            ],
        },
        "/apis/example.com/v1": {"resources": listed("Widget", namespaced=False)},
        "/apis/example.com/v1beta1": {"resources": listed("Widget", namespaced=False)},
        "/apis/events.k8s.io/v1": {"resources": listed("Event")},
    }


@pytest.mark.parametrize("serve", [serve_aggregated, serve_legacy])
async def test_rows_are_what_the_server_says(serve: Any, server: ListWatchServer, client: Client) -> None:
    """The garbage collector and namespace deletion must know every kind, custom ones included."""
    serve(server)
    catalog = await discover(client)
    assert [f"{r.api_version} {r.kind}" for r in catalog] == [
        "v1 Pod",
        "v1 Event",
        "example.com/v1 Widget",
        "example.com/v1beta1 Widget",
        "events.k8s.io/v1 Event",
    ]
    widget = catalog.named("Widget")
    assert (widget.name, widget.version, widget.namespaced, widget.verbs) == ("widgets", "v1", False, tuple(READ))
    assert (widget.short_names, widget.categories) == (("wi",), ("all",))
    assert [(s.name, s.verbs) for s in widget.subresources] == [("status", ("get", "update"))]
    assert [r.api_version for r in with_verbs(catalog, ("list", "watch"))] == ["v1", "v1", "example.com/v1"]
    assert with_verbs(catalog, ("delete",)) == []


async def test_without_the_core_group_there_is_no_discovery(server: ListWatchServer, client: Client) -> None:
    """Half a catalog would look as if every other kind had been removed."""
    serve_legacy(server)
    del server.objects["/api/v1"]
    with pytest.raises(APIError):
        async with asyncio.timeout(5):
            await discover(client)
