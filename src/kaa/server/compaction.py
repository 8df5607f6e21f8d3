"""Forgets old revisions: every five minutes, those that were old five minutes ago, as upstream does with etcd.

So a list that was begun, or a watch that was cut, has five to ten minutes to go on.
"""

from kaa.lib.clock import Clock
from kaa.store.store import Compacted, Store

COMPACTION_SECONDS = 300.0


async def compact_regularly(store: Store, clock: Clock) -> None:
    """Until cancelled."""
    while True:
        revision = store.revision
        await clock.sleep(COMPACTION_SECONDS)
        if revision > store.compacted_revision:
            try:
                await store.compact(revision)
            except Compacted:
                pass  # another server of the same store was first
