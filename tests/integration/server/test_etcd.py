"""Two API servers over one etcd: one history, told the same by both."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.etcd_server import etcd_server, free_port, needs_etcd, tls_arguments

from kaa.cluster.certificates import Identity, make_authority, make_client, make_server
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.request import Request, Response
from kaa.store.etcd import EtcdStore
from kaa.store.etcd_client import EtcdServers
from kaa.store.store import Compacted, Put, StoreFailed

pytestmark = needs_etcd

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@asynccontextmanager
async def api_server(url: str) -> AsyncIterator[APIServer]:
    clock = WallClock()
    store = await EtcdStore.open(EtcdServers(urls=(url,)), clock)
    server = APIServer(store, clock)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        await store.close()


async def send(server: APIServer, method: str, path: str, obj: Any = None, **query: str) -> Response:
    body = json.dumps(obj).encode() if obj is not None else b""
    headers = {"content-type": "application/json"}
    return await server.handle(Request(method, path, list(query.items()), headers, body))


async def create_namespace(server: APIServer) -> None:
    answer = await send(server, "POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
    assert answer.status == 201, answer.body


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def watch(server: APIServer, revision: str, until: str) -> list[tuple[str, str, str]]:
    """(type, name, resourceVersion) of every event until the object of that name has come."""
    answer = await send(server, "GET", CONFIGMAPS, watch="1", resourceVersion=revision)
    assert answer.chunks is not None
    seen = []
    async for chunk in answer.chunks:
        for line in chunk.splitlines():
            event = json.loads(line)
            metadata = event["object"]["metadata"]
            seen.append((event["type"], metadata["name"], metadata["resourceVersion"]))
        if any(name == until for _, name, _ in seen):
            break
    await answer.chunks.aclose()  # type: ignore[attr-defined]
    return seen


async def test_what_one_server_has_answered_the_other_lists_at_once(tmp_path: Path) -> None:
    """A client may come to either: what it was told by one must be there at the other, without waiting or retrying."""
    async with etcd_server(tmp_path) as url, api_server(url) as one, api_server(url) as two:
        await create_namespace(one)
        for i in range(40):
            writer, reader = (one, two) if i % 2 else (two, one)
            assert (await send(writer, "POST", CONFIGMAPS, configmap(f"c{i:02}"))).status == 201
            listed = json.loads((await send(reader, "GET", CONFIGMAPS)).body)
            assert [item["metadata"]["name"] for item in listed["items"]] == [f"c{n:02}" for n in range(i + 1)]
            assert (await send(reader, "GET", f"{CONFIGMAPS}/c{i:02}")).status == 200
            again = await send(reader, "POST", CONFIGMAPS, configmap(f"c{i:02}"))
            assert json.loads(again.body)["reason"] == "AlreadyExists"


async def test_both_tell_the_same_history(tmp_path: Path) -> None:
    """Watches at both, from any revision, see every change of either in the same order, once."""
    async with etcd_server(tmp_path) as url, api_server(url) as one, api_server(url) as two:
        await create_namespace(one)
        start = json.loads((await send(one, "GET", CONFIGMAPS)).body)["metadata"]["resourceVersion"]
        watches = [asyncio.create_task(watch(server, start, "last")) for server in (one, two)]

        async def write(server: APIServer, who: str) -> None:
            for i in range(30):
                assert (await send(server, "POST", CONFIGMAPS, configmap(f"{who}{i}"))).status == 201
                assert (
                    await send(server, "PUT", f"{CONFIGMAPS}/{who}{i}", configmap(f"{who}{i}", a="1"))
                ).status == 200
                assert (await send(server, "DELETE", f"{CONFIGMAPS}/{who}{i}")).status == 200

        await asyncio.gather(write(one, "one"), write(two, "two"))
        await send(one, "POST", CONFIGMAPS, configmap("last"))
        first, second = await asyncio.gather(*watches)
        assert first == second
        assert len(first) == 181
        revisions = [int(revision) for _, _, revision in first]
        assert revisions == sorted(set(revisions))
        middle = first[90][2]
        assert await watch(two, middle, "last") == first[91:]


async def test_a_counter_at_two_servers_loses_no_update(tmp_path: Path) -> None:
    """Optimistic concurrency holds across servers: whoever wrote on old ground is told Conflict."""
    async with etcd_server(tmp_path) as url, api_server(url) as one, api_server(url) as two:
        await create_namespace(one)
        await send(one, "POST", CONFIGMAPS, configmap("n", count="0"))

        async def increment(server: APIServer) -> None:
            while True:
                live = json.loads((await send(server, "GET", f"{CONFIGMAPS}/n")).body)
                live["data"]["count"] = str(int(live["data"]["count"]) + 1)
                answer = await send(server, "PUT", f"{CONFIGMAPS}/n", live)
                if answer.status == 200:
                    return
                assert json.loads(answer.body)["reason"] == "Conflict"

        await asyncio.gather(*(increment(server) for server in (one, two) for _ in range(15)))
        assert json.loads((await send(two, "GET", f"{CONFIGMAPS}/n")).body)["data"]["count"] == "30"


async def test_a_key_of_somebody_else_holds_up_no_list(tmp_path: Path) -> None:
    """Whatever moves etcd's revision, a consistent list must not wait for an object that never comes."""
    async with etcd_server(tmp_path) as url, api_server(url) as one:
        other = await EtcdStore.open(EtcdServers(urls=(url,)), WallClock())
        await other.txn((), [Put("\udcff somebody's", b"1")])
        answer = await send(one, "GET", CONFIGMAPS)
        assert answer.status == 200
        assert int(json.loads(answer.body)["metadata"]["resourceVersion"]) == await other.current_revision()
        await other.close()


async def test_one_server_knows_what_the_other_has_compacted(tmp_path: Path) -> None:
    """Whoever asks for what is gone is told so, and how far it is gone, whoever compacted it."""
    async with etcd_server(tmp_path) as url:
        one, two = [await EtcdStore.open(EtcdServers(urls=(url,)), WallClock()) for _ in range(2)]
        for i in range(5):
            await one.txn((), [Put("/a", b"%d" % i)])
        await one.compact(4)
        with pytest.raises(Compacted) as compacted:
            await two.get("/a", revision=2)
        assert compacted.value.compacted_revision == two.compacted_revision == 4
        with pytest.raises(Compacted):
            await two.compact(3)
        await one.close()
        await two.close()


async def test_a_watch_goes_on_after_etcd_has_been_away(tmp_path: Path) -> None:
    """A restart of etcd costs nobody an event; writes meanwhile fail readably, and reads wait for a while."""
    port = free_port()
    async with etcd_server(tmp_path, port=port) as url:
        store = await EtcdStore.open(EtcdServers(urls=(url,)), WallClock())
        events = store.watch("/", 1)
        await store.txn((), [Put("/a", b"1")])
        assert [event.revision for event in await anext(events)] == [1]
    with pytest.raises(StoreFailed, match=f"etcd at http://127.0.0.1:{port} does not answer"):
        await store.txn((), [Put("/a", b"2")])
    reading = asyncio.create_task(store.get("/a"))
    await asyncio.sleep(0.05)
    async with etcd_server(tmp_path, port=port):
        found = await reading
        assert found is not None
        assert found.value == b"1"
        revision = (await store.txn((), [Put("/a", b"3")])).revision
        async with asyncio.timeout(10):
            assert [event.revision for event in await anext(events)] == [revision]
        await events.aclose()
        await store.close()


async def test_it_goes_to_the_next_server(tmp_path: Path) -> None:
    """Of several URLs, one that answers is enough."""
    async with etcd_server(tmp_path) as url:
        store = await EtcdStore.open(EtcdServers(urls=(f"http://127.0.0.1:{free_port()}", url)), WallClock())
        assert (await store.txn((), [Put("/a", b"1")])).revision == 1
        await store.close()


async def test_with_certificates(tmp_path: Path) -> None:
    """Over TLS etcd lets in whom its authority has signed, and we trust only whom ours has."""
    now, rng = datetime.now(UTC), Random(1)
    authority = make_authority("etcd-ca", now, rng)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    for name, pair in {
        "server": make_server(authority, Identity("etcd"), ["127.0.0.1"], now, rng),
        "client": make_client(authority, Identity("kube-apiserver-etcd-client"), now, rng),
    }.items():
        (tmp_path / f"{name}.crt").write_bytes(pair.certificate)
        (tmp_path / f"{name}.key").write_bytes(pair.key)
    async with etcd_server(tmp_path, *tls_arguments(tmp_path), scheme="https") as url:
        files = {"cert_file": tmp_path / "client.crt", "key_file": tmp_path / "client.key"}
        store = await EtcdStore.open(EtcdServers(urls=(url,), ca_file=tmp_path / "ca.crt", **files), WallClock())
        assert (await store.txn((), [Put("/a", b"1")])).revision == 1
        await store.close()
        with pytest.raises(StoreFailed, match=r"does not answer: .*certificate"):
            await EtcdStore.open(EtcdServers(urls=(url,)), WallClock())


@pytest.mark.parametrize("url", ["127.0.0.1:2379", "http://", "http://a:x", "unix:///a"])
async def test_what_is_no_url_is_refused_readably(url: str) -> None:
    """A slip in --etcd-servers is the likeliest mistake."""
    with pytest.raises(StoreFailed, match=r"is not the URL of an etcd server, such as http://127\.0\.0\.1:2379"):
        await EtcdStore.open(EtcdServers(urls=(url,)), WallClock())
