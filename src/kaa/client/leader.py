"""Leader election by a Lease object: of several copies of a component one works, the others wait.

The holder renews the lease every `RETRY_SECONDS`. Whoever has seen the lease unchanged for its whole duration, on
their own clock, takes it over (so machines' clocks need not agree). A holder that could not renew for
`RENEW_DEADLINE_SECONDS`, which is less than the duration, stops working before anybody else can begin.

    await LeaderElector(client, clock, "kube-controller-manager", identity).lead(controllers.run)
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kaa.api.errors import APIError
from kaa.api.objects import Object, copy_object
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.lib.clock import Clock, rfc3339_micro

log = logging.getLogger(__name__)

LEASE_SECONDS = 15
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0
JITTER = 1.2
"""Waiting candidates come up to this factor later than RETRY_SECONDS, so that they do not all come at once."""


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or somebody else has it. The work has been cancelled."""


@dataclass(slots=True)
class _Observed:
    """The lease as last seen to change, and when that was on our own clock."""

    resource_version: str
    seconds: float


class LeaderElector:
    def __init__(
        self, client: Client, clock: Clock, name: str, identity: str, *, namespace: str = "kube-system"
    ) -> None:
        """`identity` is ours alone: host name, underscore, uuid. One that outlives a restart goes on where it was."""
        self._client = client
        self._clock = clock
        self._name = name
        self._identity = identity
        self._namespace = namespace
        self._observed = _Observed("", 0.0)

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Waits for the lease, then runs `work` while it is ours; gives it back when the work ends.

        Raises LeadershipLost when the lease is lost, after `work` was cancelled. Cancelling this cancels the work, and
        gives the lease back.
        """
        while not await self._try_to_hold():
            await self._clock.sleep(RETRY_SECONDS * (1 + (JITTER - 1) * self._clock.random.random()))
        log.info("%s leads as %s", self._identity, self._name)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost = renewing.done()
            renewing.cancel()
            working.cancel()
            await asyncio.wait([working, renewing])
            if not lost:
                await self._release()
        if lost:
            raise LeadershipLost(f"{self._identity} no longer holds the lease {self._namespace}/{self._name}")
        working.result()

    async def _renew(self) -> None:
        """Returns when the lease has not been renewed for too long."""
        renewed = self._clock.monotonic()
        while (left := renewed + RENEW_DEADLINE_SECONDS - self._clock.monotonic()) > 0:
            started = self._clock.monotonic()
            if await self._try_to_hold(left):
                renewed = started
            await self._clock.sleep(RETRY_SECONDS)

    async def _try_to_hold(self, timeout_seconds: float = LEASE_SECONDS) -> bool:
        """One attempt to take or renew the lease; false when somebody else has it or the server does not answer."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._take_or_renew()
        except (APIError, TransportError, TimeoutError) as error:
            log.debug("cannot hold the lease %s: %s", self._name, error)
            return False

    async def _take_or_renew(self) -> bool:
        now = rfc3339_micro(self._clock.now())
        try:
            lease = copy_object(await self._client.get("Lease", self._name, self._namespace))
        except APIError as error:
            if error.reason != "NotFound":
                raise
            await self._client.create(self._new_lease(now))
            return True
        self._observe(lease)
        spec = lease.setdefault("spec", {})
        if spec.get("holderIdentity") != self._identity:
            if spec.get("holderIdentity") and not self._has_run_out(spec):
                return False
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + 1
        spec.update(holderIdentity=self._identity, leaseDurationSeconds=LEASE_SECONDS, renewTime=now)
        await self._client.update(lease)
        return True

    def _observe(self, lease: Object) -> None:
        resource_version = lease["metadata"]["resourceVersion"]
        if resource_version != self._observed.resource_version:
            self._observed = _Observed(resource_version, self._clock.monotonic())

    def _has_run_out(self, spec: Object) -> bool:
        duration: int = spec.get("leaseDurationSeconds", LEASE_SECONDS)
        return self._clock.monotonic() - self._observed.seconds >= duration

    async def _release(self) -> None:
        """Lets the next one begin at once."""
        try:
            lease = copy_object(await self._client.get("Lease", self._name, self._namespace))
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"].update(holderIdentity="", leaseDurationSeconds=1)
                await self._client.update(lease)
        except (APIError, TransportError) as error:
            log.debug("cannot release the lease %s: %s", self._name, error)

    def _new_lease(self, now: str) -> Object:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
