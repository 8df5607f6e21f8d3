"""Leader election: never two at once, and the next one takes over."""

import asyncio

import pytest
from tests.fakes.list_watch_server import ListWatchServer

from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import ClientConfig
from kaa.client.leader import LEASE_SECONDS, LeaderElector, LeadershipLost
from kaa.client.rest import Client
from kaa.lib.clock import WallClock

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/work"


class FastClock(WallClock):
    """Time that passes twenty times as fast: the lease's 15 seconds are 0.75."""

    FACTOR = 20

    def monotonic(self) -> float:
        return super().monotonic() * self.FACTOR

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self.FACTOR)


class Worker:
    def __init__(self, client: Client, identity: str) -> None:
        self.elector = LeaderElector(client, FastClock(), "work", identity)
        self.works = asyncio.Event()
        self.finish = asyncio.Event()
        self.task = asyncio.create_task(self.elector.lead(self._work))

    async def _work(self) -> None:
        self.works.set()
        try:
            await self.finish.wait()
        finally:
            self.works.clear()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_one_works_and_the_next_takes_over_when_it_is_done(server: ListWatchServer, client: Client) -> None:
    """The lease is given back, so that nobody waits for it to run out."""
    first = Worker(client, "one")
    async with asyncio.timeout(5):
        await first.works.wait()
    second = Worker(client, "two")
    await asyncio.sleep(3 * LEASE_SECONDS / FastClock.FACTOR)
    assert not second.works.is_set()
    spec = server.objects[LEASE]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 15, 0)
    first.finish.set()
    await first.task
    async with asyncio.timeout(5):
        await second.works.wait()
    spec = server.objects[LEASE]["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)
    await second.stop()
    assert server.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_a_lease_whose_holder_died_is_taken_over_in_time(server: ListWatchServer, client: Client) -> None:
    """Not before it has been unchanged for its whole duration, on the candidate's own clock."""
    await server.put(
        LEASE,
        {"metadata": {"name": "work", "namespace": "kube-system"}, "spec": {"holderIdentity": "dead"}}
        | {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"},
    )
    started = asyncio.get_running_loop().time()
    worker = Worker(client, "one")
    async with asyncio.timeout(5):
        await worker.works.wait()
    assert asyncio.get_running_loop().time() - started >= LEASE_SECONDS / FastClock.FACTOR
    await worker.stop()


async def test_who_cannot_renew_stops_working() -> None:
    """Before the lease runs out for the others: a leader that is cut off must not go on."""
    server = ListWatchServer()
    async with server.serving():
        client = Client(HTTPTransport.from_config(ClientConfig(server.url)))
        worker = Worker(client, "one")
        async with asyncio.timeout(5):
            await worker.works.wait()
    stopped = asyncio.get_running_loop().time()
    with pytest.raises(LeadershipLost):
        await worker.task
    assert not worker.works.is_set()
    assert asyncio.get_running_loop().time() - stopped < LEASE_SECONDS / FastClock.FACTOR
    await client.close()


async def test_a_failing_work_is_not_hidden(client: Client) -> None:
    """The component's own crash reaches whoever runs it."""

    async def crash() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await LeaderElector(client, FastClock(), "work", "one").lead(crash)
