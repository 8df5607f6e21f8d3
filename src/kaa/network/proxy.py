"""The service proxy: keeps this node's nftables equal to what Services and EndpointSlices ask for.

Changes are gathered for a moment, turned into a `Ruleset` (pure, `service_rules.py`), and only the difference is
handed to the kernel. Rules stay in place when this process ends, so services keep working while it restarts.
"""

import asyncio
import logging
from dataclasses import dataclass

from kaa.client.informer import Change
from kaa.client.view import Informers
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock
from kaa.network.nftables import NFTables, NodeAddresses, RulesError, script_for, table_text
from kaa.network.service_rules import Ruleset, rules_for

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.02
"""How long changes are gathered before they are written: a rollout's many become one transaction."""

RETRY = Backoff(initial_seconds=0.5, limit_seconds=30)


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    node_name: str
    addresses: NodeAddresses


class ServiceProxy:
    def __init__(self, informers: Informers, clock: Clock, options: ProxyOptions) -> None:
        self._informers = informers
        self._services = informers.informer("Service")
        self._slices = informers.informer("EndpointSlice.discovery.k8s.io")
        self._clock = clock
        self._options = options
        self._changed = asyncio.Event()
        self._written: Ruleset | None = None  # None: the table's content is not known
        for informer in (self._services, self._slices):
            informer.subscribe(self._note)

    def _note(self, _change: Change) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled; the informers are run by whoever made them."""
        await self._services.wait_synced()
        await self._slices.wait_synced()
        self._changed.set()
        nft = NFTables()
        failures = 0
        try:
            while True:
                await self._changed.wait()
                await self._clock.sleep(GATHER_SECONDS)
                self._changed.clear()
                try:
                    await self._write(nft)
                    failures = 0
                except RulesError as error:
                    failures += 1
                    self._written = None  # the next try lays the whole table anew
                    self._changed.set()
                    log.error("service rules refused, will lay them anew: %s", error)
                    await self._clock.sleep(RETRY.delay(failures))
        finally:
            nft.close()

    async def _write(self, nft: NFTables) -> None:
        addresses = self._options.addresses
        wanted = rules_for(self._services.list(), self._slices.list(), self._options.node_name)
        if self._written is None:
            # One transaction with the deletion of the old table: no packet sees a moment without rules.
            script = table_text(addresses) + script_for(Ruleset({}), wanted, addresses.pod_cidr)
        else:
            script = script_for(self._written, wanted, addresses.pod_cidr)
        if script:
            await asyncio.to_thread(nft.run, script)
        self._written = wanted
