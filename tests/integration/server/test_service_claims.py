"""Addresses and node ports are given once, by however many servers, and come back whatever happens to a Service."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.etcd_server import etcd_server, needs_etcd

from kaa.cluster.certificates import ensure_pki
from kaa.lib.clock import Clock, WallClock
from kaa.server.app import APIServer
from kaa.server.claim_repair import ClaimRepair
from kaa.server.claims import NODE_PORTS
from kaa.server.request import Request, User
from kaa.server.security import SecurityOptions, secure
from kaa.store.etcd import EtcdStore
from kaa.store.etcd_client import EtcdServers
from kaa.store.memory import MemoryStore
from kaa.store.store import Compare, Delete, Operation, Store, StoreFailed, Transaction

ADMIN = User("admin", ("system:masters", "system:authenticated"))
SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
RANGES = "/apis/networking.k8s.io/v1/servicecidrs"


@asynccontextmanager
async def api_server(store: Store, clock: Clock, directory: Path) -> AsyncIterator[APIServer]:
    pki = ensure_pki(directory, ["10.96.0.1"], clock)
    server = APIServer(store, clock, secure=secure(SecurityOptions.in_directory(pki, "127.0.0.1", 6443)))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        await store.close()


async def send(server: APIServer, method: str, path: str, obj: Any = None) -> tuple[int, Any]:
    body = json.dumps(obj).encode() if obj is not None else b""
    answer = await server.handle(Request(method, path, [], {"content-type": "application/json"}, body, user=ADMIN))
    return answer.status, json.loads(answer.body)


async def listed(server: APIServer, path: str) -> list[Any]:
    status, answer = await send(server, "GET", path)
    assert status == 200, answer
    return list(answer["items"])


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}], **spec}}


def numbers(service: Any) -> list[Any]:
    spec = service["spec"]
    return [spec["clusterIP"], *(port["nodePort"] for port in spec["ports"] if "nodePort" in port)]


async def ports_taken(store: Store) -> set[str]:
    return {kv.key.removeprefix(NODE_PORTS) for kv in (await store.range(NODE_PORTS)).items}


@needs_etcd
async def test_two_servers_give_each_number_once(tmp_path: Path) -> None:
    """Both choose from a range that is nearly full, at the same time, and know of each other only by the store."""
    async with etcd_server(tmp_path) as url, AsyncExitStack() as stack:
        clock = WallClock()
        stores = [await EtcdStore.open(EtcdServers(urls=(url,)), clock) for _ in range(2)]
        servers = [await stack.enter_async_context(api_server(store, clock, tmp_path / "pki")) for store in stores]
        # 62 addresses, one of which is asked for, for 60 Services: what is drawn is often taken.
        full = {"conditions": [{"type": "Ready", "status": "False"}]}
        await send(
            servers[0], "PUT", f"{RANGES}/kubernetes/status", {"metadata": {"name": "kubernetes"}, "status": full}
        )
        await send(servers[0], "POST", RANGES, {"metadata": {"name": "small"}, "spec": {"cidrs": ["10.9.0.0/26"]}})
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        await send(servers[0], "PUT", f"{RANGES}/small/status", {"metadata": {"name": "small"}, "status": ready})
        await servers[1].cache.caught_up()

        made = await asyncio.gather(
            *(send(servers[i % 2], "POST", SERVICES, service(f"s{i}")) for i in range(60)),
            *(send(servers[i % 2], "POST", SERVICES, service(f"w{i}", clusterIP="10.9.0.9")) for i in range(4)),
        )
        outcomes = Counter(status for status, _ in made)
        assert outcomes[201] in (60, 61)  # somebody may have drawn the wanted one before it was asked for
        refusals = {answer["message"] for status, answer in made if status != 201}
        assert all("provided IP is already allocated" in refusal for refusal in refusals)
        services = [s for s in await listed(servers[1], SERVICES) if s["metadata"]["name"] != "kubernetes"]
        given = [number for each in services for number in numbers(each)]
        assert max(Counter(given).values()) == 1
        claimed = {each["metadata"]["name"] for each in await listed(servers[0], ADDRESSES)}
        assert claimed == {each["spec"]["clusterIP"] for each in services} | {"10.96.0.1"}
        assert len(await ports_taken(stores[0])) == len(services)

        for n, each in enumerate(services):
            status, _ = await send(servers[n % 2], "DELETE", f"{SERVICES}/{each['metadata']['name']}")
            assert status == 200
        assert [each["metadata"]["name"] for each in await listed(servers[0], ADDRESSES)] == ["10.96.0.1"]
        assert await ports_taken(stores[1]) == set()


async def test_what_goes_with_a_service_and_what_with_an_update(tmp_path: Path) -> None:
    """A finalizer keeps the numbers; the update that takes it off, or makes them superfluous, gives them back."""
    clock = WallClock()
    store = MemoryStore(clock)
    async with api_server(store, clock, tmp_path) as server:
        held = service("held", clusterIP="10.96.0.77")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        assert (await send(server, "POST", SERVICES, held))[0] == 201
        await send(server, "DELETE", f"{SERVICES}/held")
        assert len(await ports_taken(store)) == 1
        assert (await send(server, "GET", f"{ADDRESSES}/10.96.0.77"))[0] == 200
        _, last = await send(server, "GET", f"{SERVICES}/held")
        del last["metadata"]["finalizers"]
        assert (await send(server, "PUT", f"{SERVICES}/held", last))[0] == 200
        assert await ports_taken(store) == set()
        assert (await send(server, "GET", f"{ADDRESSES}/10.96.0.77"))[0] == 404

        _, made = await send(server, "POST", SERVICES, service("changing"))
        made["spec"]["type"] = "ClusterIP"
        assert (await send(server, "PUT", f"{SERVICES}/changing", made))[0] == 200
        assert await ports_taken(store) == set()
        status, reference = await send(server, "GET", f"{ADDRESSES}/{made['spec']['clusterIP']}")
        assert (status, reference["spec"]["parentRef"]["name"]) == (200, "changing")


async def test_a_refused_write_takes_nothing(tmp_path: Path) -> None:
    """Nor does one whose name is taken, or a dry run."""
    clock = WallClock()
    store = MemoryStore(clock)
    async with api_server(store, clock, tmp_path) as server:
        assert (await send(server, "POST", SERVICES, service("a")))[0] == 201
        before = await ports_taken(store)
        assert (await send(server, "POST", SERVICES, service("a")))[0] == 409
        assert (await send(server, "POST", SERVICES, service("b", sessionAffinity="never")))[0] == 422
        assert await ports_taken(store) == before
        assert len(await listed(server, ADDRESSES)) == 2


async def test_claims_are_repaired(tmp_path: Path) -> None:
    """An address that somebody deletes, and a port that is gone from the store, are their Service's again."""
    clock = WallClock()
    store = MemoryStore(clock)
    async with api_server(store, clock, tmp_path) as server:
        _, made = await send(server, "POST", SERVICES, service("a"))
        address, port = numbers(made)
        stray = {
            "metadata": {
                "name": "10.96.0.200",
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": "IPv4",
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "gone"}},
        }
        assert (await send(server, "POST", ADDRESSES, stray))[0] == 201
        assert (await send(server, "DELETE", f"{ADDRESSES}/{address}"))[0] == 200
        await store.txn((), (Delete(f"{NODE_PORTS}{port}"),))
        for _ in range(2):
            await server.cache.caught_up()
            await ClaimRepair(store, server.cache, server.catalog, clock).look()
        assert {each["metadata"]["name"] for each in await listed(server, ADDRESSES)} == {"10.96.0.1", address}
        assert await ports_taken(store) == {str(port)}
        status, refusal = await send(server, "POST", SERVICES, service("b", clusterIP=address))
        assert (status, "already allocated" in refusal["message"]) == (422, True)


class LosesAnswers(MemoryStore):
    """Does what it is told, and then may say that it has failed: as an etcd whose answer got lost."""

    is_losing = False

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Transaction:
        done = await super().txn(compares, operations)
        if self.is_losing:
            raise StoreFailed("no answer")
        return done


async def test_a_write_whose_answer_is_lost_has_its_numbers(tmp_path: Path) -> None:
    """Nobody knows whether it is done: its numbers may not be given to another, nor be lost if it is not."""
    clock = WallClock()
    store = LosesAnswers(clock)
    async with api_server(store, clock, tmp_path) as server:
        store.is_losing = True
        assert (await send(server, "POST", SERVICES, service("a", clusterIP="10.96.0.99")))[0] == 500
        store.is_losing = False
        status, made = await send(server, "GET", f"{SERVICES}/a")
        assert (status, made["spec"]["clusterIP"]) == (200, "10.96.0.99")
        assert await ports_taken(store) == {str(number) for number in numbers(made)[1:]}
        status, refusal = await send(server, "POST", SERVICES, service("b", clusterIP="10.96.0.99"))
        assert (status, "already allocated" in refusal["message"]) == (422, True)
        store.is_losing = True
        assert (await send(server, "DELETE", f"{SERVICES}/a"))[0] == 500
        store.is_losing = False
        assert await ports_taken(store) == set()
        assert (await send(server, "POST", SERVICES, service("b", clusterIP="10.96.0.99")))[0] == 201
