"""What the garbage collector leaves, whatever owns what and in whatever order it looks.

A model of the server carries out its decisions: an object without finalizers goes at once, one that waits for its
dependents when it is released. The queue hands out any of the uids that are to be looked at.
"""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kaa.api.kinds import builtin_catalog
from kaa.controllers.ownership_graph import (
    Collect,
    Disown,
    Fate,
    Graph,
    Keep,
    Node,
    OrphanDependents,
    Owner,
    OwnerState,
    Release,
    fate_of,
)

KIND = builtin_catalog().named("ConfigMap")
MOST_LOOKS = 1000
"""More than any of these graphs needs: who looks more often never comes to rest."""

UIDS = "abcdefg"
OWNERSHIP = st.dictionaries(
    st.sampled_from(UIDS),
    st.lists(st.tuples(st.sampled_from(UIDS + "x"), st.booleans()), max_size=3, unique_by=lambda ref: ref[0]),
)
"""Who names which owners, and whether it blocks them; x never existed."""

DELETIONS = st.dictionaries(st.sampled_from(UIDS), st.sampled_from(["Background", "Foreground"]), max_size=3)


class Model:
    """Objects, the collector's graph of them, and what it still has to look at."""

    def __init__(self, ownership: dict[str, list[tuple[str, bool]]]) -> None:
        self.graph = Graph()
        self.queue: set[str] = set()
        for uid in UIDS:
            owners = tuple(Owner(name, "v1", "ConfigMap", name, blocks) for name, blocks in ownership.get(uid, ()))
            self.put(Node(uid, KIND, "default", uid, owners, deleting=False, foreground=False, orphaning=False))

    def put(self, node: Node) -> None:
        self.queue |= self.graph.put(node)

    def remove(self, uid: str) -> None:
        self.queue |= self.graph.remove(uid)

    def delete(self, uid: str, propagation: str) -> None:
        node = self.graph.get(uid)
        assert node is not None
        foreground, orphaning = propagation == "Foreground", propagation == "Orphan"
        if foreground or orphaning:
            self.put(replace(node, deleting=True, foreground=foreground, orphaning=orphaning))
        elif not node.deleting:
            self.remove(uid)

    def run(self, random: Random) -> None:
        for _ in range(MOST_LOOKS):
            if not self.queue:
                return
            uid = random.choice(sorted(self.queue))
            self.queue.discard(uid)
            self.carry_out(uid, self.decide(uid))
        raise AssertionError(f"still looking at {self.queue}")

    def decide(self, uid: str) -> Fate:
        node = self.graph.get(uid)
        if node is None:
            return Keep()
        states = {owner.uid: self.state_of(owner.uid) for owner in node.owners}
        return fate_of(node, self.graph.dependents(uid), states)

    def state_of(self, uid: str) -> OwnerState:
        owner = self.graph.get(uid)
        if owner is None:
            return OwnerState.ABSENT
        return OwnerState.WAITING if owner.waits_for_dependents else OwnerState.SOLID

    def carry_out(self, uid: str, fate: Fate) -> None:
        match fate:
            case Collect(propagation, unblock):
                for dependent in unblock:
                    self.change(dependent, uid, keep=True)
                self.delete(uid, propagation)
            case Disown(uids):
                for owner in uids:
                    self.change(uid, owner)
            case Release():
                self.remove(uid)
            case OrphanDependents(dependents):
                for dependent in dependents:
                    self.change(dependent, uid)
                self.remove(uid)

    def change(self, uid: str, owner_uid: str, *, keep: bool = False) -> None:
        node = self.graph.get(uid)
        if node is not None:
            kept = [replace(o, blocks=o.blocks and o.uid != owner_uid) for o in node.owners]
            self.put(replace(node, owners=tuple(o for o in kept if keep or o.uid != owner_uid)))

    def alive(self) -> set[str]:
        return {uid for uid in UIDS if self.graph.get(uid) is not None}


def expected(ownership: dict[str, list[tuple[str, bool]]], deleted: set[str], *, orphan: bool = False) -> set[str]:
    """Who has no owners, or one that stays; objects that own each other in a circle keep each other."""
    alive = set(UIDS) - deleted
    while True:
        owners = {uid: {owner for owner, _ in ownership.get(uid, ())} for uid in alive}
        lost = {u for u, o in owners.items() if o and not o & alive and not (orphan and o & deleted)}
        if not lost:
            return alive
        alive -= lost


@given(OWNERSHIP, DELETIONS, st.integers(0, 2**32))
def test_what_has_no_owner_left_goes_and_nothing_else(
    ownership: dict[str, list[tuple[str, bool]]], deletions: dict[str, str], seed: int
) -> None:
    """In any order it comes to rest, at the same objects.

    Only one is deleted at a time: two of a circle, both in the foreground, would wait for each other, as upstream's do.
    """
    model, random = Model(ownership), Random(seed)
    for uid, propagation in deletions.items():
        if uid in model.alive():
            model.delete(uid, propagation)
            model.run(random)
    model.run(random)
    assert model.alive() == expected(ownership, set(deletions))


@given(OWNERSHIP, st.integers(0, 2**32))
def test_a_settled_graph_is_left_alone(ownership: dict[str, list[tuple[str, bool]]], seed: int) -> None:
    """To look at everything once more changes nothing: after a restart everything is looked at."""
    model = Model(ownership)
    model.run(Random(seed))
    assert all(model.decide(uid) == Keep() for uid in model.alive())


@given(OWNERSHIP, st.sampled_from(UIDS), st.integers(0, 2**32))
def test_orphans_stay(ownership: dict[str, list[tuple[str, bool]]], deleted: str, seed: int) -> None:
    """What names the deleted one as its owner does not go with it."""
    model = Model(ownership)
    model.run(Random(seed))
    before = model.alive()
    if deleted not in before:
        return
    left = {uid: [(o.uid, o.blocks) for o in node.owners] for uid in before if (node := model.graph.get(uid))}
    model.delete(deleted, "Orphan")
    model.run(Random(seed))
    assert model.alive() == before & expected(left, {deleted}, orphan=True)
