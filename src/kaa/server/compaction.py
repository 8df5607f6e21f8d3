"""Forgets old revisions: every five minutes, those that were old five minutes ago, as upstream does with etcd.

So a list that was begun, or a watch that was cut, has five to ten minutes to go on.

Servers that share a store take turns by one key: whoever is first to write it after a wait compacts, the others see
that it has changed and wait again. The key and its use are upstream's.
"""

import logging

from kaa.lib.clock import Clock
from kaa.store.store import Compacted, Compare, Put, Store, StoreFailed

log = logging.getLogger(__name__)

COMPACTION_SECONDS = 300.0

TURN_KEY = "compact_rev_key"
"""Its value is the revision that was compacted when it was written, or 0."""


async def compact_regularly(store: Store, clock: Clock) -> None:
    """Until cancelled. What the store cannot do now is tried again when it is due next."""
    turn = 0  # the key's revision when it was last seen
    then = 0  # the store's revision then: what is compacted next; 0 before the first round
    while True:
        await clock.sleep(COMPACTION_SECONDS)
        try:
            turn, then = await take_turn(store, turn, then)
        except StoreFailed as error:
            log.warning("cannot compact: %s", error)


async def take_turn(store: Store, turn: int, then: int) -> tuple[int, int]:
    """Compacts `then` if no other server has taken a turn since the revision `turn`. Returns both for next time."""
    written = await store.txn((Compare(TURN_KEY, turn),), (Put(TURN_KEY, b"%d" % then),))
    if not written.succeeded:
        (key,) = written.current
        return (key.mod_revision if key is not None else 0), written.revision
    if then > store.compacted_revision:
        try:
            await store.compact(then)
        except Compacted:
            pass  # by somebody who takes no turns, as etcd itself can
    return written.revision, written.revision
