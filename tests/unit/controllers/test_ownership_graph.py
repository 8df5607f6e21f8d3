"""The garbage collector's decisions, apart from any server."""

import random
from dataclasses import replace

import pytest

from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.controllers.ownership_graph import (
    FOREGROUND,
    KEEP,
    ORPHAN,
    Collect,
    Disown,
    Graph,
    Node,
    OrphanDependents,
    Owner,
    OwnerState,
    Release,
    fate_of,
    is_decided_alike,
)

PODS = Resource(kind="Pod", version="v1")


def node(uid: str, *owners: str, deleting: bool = False, foreground: bool = False, orphaning: bool = False) -> Node:
    refs = tuple(Owner(owner, "v1", "Pod", owner, blocks=True) for owner in owners)
    return Node(uid, PODS, "default", uid, refs, deleting, foreground, orphaning)


SOLID, WAITING, ABSENT = OwnerState.SOLID, OwnerState.WAITING, OwnerState.ABSENT


@pytest.mark.parametrize(
    ("subject", "dependents", "owners", "fate"),
    [
        (node("a"), [], {}, KEEP),
        (node("a", "x"), [], {"x": SOLID}, KEEP),
        (node("a", "x"), [], {"x": ABSENT}, Collect("Background")),
        (node("a", "x", "y"), [], {"x": ABSENT, "y": SOLID}, Disown(("x",))),
        (node("a", "x", "y"), [], {"x": WAITING, "y": SOLID}, Disown(("x",))),
        (node("a", "x"), [], {"x": WAITING}, Collect("Background")),
        (node("a", "x"), [node("b", "a")], {"x": WAITING}, Collect("Foreground")),
        (node("a", "x", orphaning=True), [], {"x": ABSENT}, Collect("Orphan")),
        (node("a", "x", foreground=True), [], {"x": ABSENT}, Collect("Foreground")),
        (node("a", "x", deleting=True), [], {}, KEEP),
        (node("a", deleting=True, foreground=True), [node("b", "a")], {}, KEEP),
        (node("a", deleting=True, foreground=True), [], {}, Release(FOREGROUND)),
        (node("a", deleting=True, orphaning=True), [node("b", "a")], {}, OrphanDependents(("b",))),
    ],
)
def test_fate(subject: Node, dependents: list[Node], owners: dict[str, OwnerState], fate: object) -> None:
    """One solid owner keeps an object; without any it goes the way that its finalizers and its owners ask for."""
    assert fate_of(subject, dependents, owners) == fate


def test_a_circle_of_foreground_deletion_is_opened() -> None:
    """Two objects that own each other would both wait for ever for the other to go first."""
    waiting = node("b", "a", deleting=True, foreground=True)
    assert fate_of(node("a", "b"), [waiting], {"b": WAITING}) == Collect("Foreground", unblock=("b",))


def test_dependents_that_do_not_block_are_not_waited_for() -> None:
    """blockOwnerDeletion is what makes a foreground deletion wait."""
    loose = Node("b", PODS, "default", "b", (Owner("a", "v1", "Pod", "a", blocks=False),), False, False, False)
    assert fate_of(node("a", deleting=True, foreground=True), [loose], {}) == Release(FOREGROUND)


def test_only_what_decides_on_a_fate_makes_another_node() -> None:
    """A new status moves the revision along, which a deletion names; new owners or finalizers are a new fate."""
    metadata = {"name": "a", "uid": "a", "resourceVersion": "1"}
    old = {"metadata": metadata}
    assert is_decided_alike(old, {"metadata": {**metadata, "resourceVersion": "2", "labels": {"a": "b"}}})
    decisive: list[Object] = [
        {"uid": "b"},
        {"ownerReferences": []},
        {"finalizers": [ORPHAN]},
        {"deletionTimestamp": ""},
    ]
    for change in decisive:
        assert not is_decided_alike(old, {"metadata": {**metadata, **change}})
    graph = Graph()
    graph.put(node("a"))
    graph.move_along("a", "2")
    assert [found.resource_version for found in [graph.get("a")] if found is not None] == ["2"]


@pytest.mark.parametrize("deleting", [False, True])
@pytest.mark.parametrize("finalizers", [{}, {"foreground": True}, {"orphaning": True}])
@pytest.mark.parametrize(
    "owner", [None, node("x"), node("x", deleting=True), node("x", deleting=True, foreground=True)]
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_kept_at_once_would_be_kept_after_a_look(
    deleting: bool, finalizers: dict[str, bool], owner: Node | None, elsewhere: bool
) -> None:
    """What the graph alone says is never another thing than what is decided when the server is asked."""
    graph = Graph()
    subject = node("a", "x", deleting=deleting, **finalizers)
    if owner is not None:
        graph.put(replace(owner, namespace="elsewhere") if elsewhere else owner)
    graph.put(subject)
    state = ABSENT if owner is None or elsewhere else WAITING if owner.waits_for_dependents else SOLID
    assert not graph.keeps("a") or fate_of(subject, [], {"x": state}) == KEEP
    assert graph.keeps("a") or deleting or state is not SOLID


def test_what_is_to_be_looked_at_again() -> None:
    """An owner's end concerns its dependents; a dependent's end concerns an owner that waits for it."""
    graph = Graph()
    assert graph.put(node("owner")) == set()
    assert graph.put(node("child", "owner")) == {"child"}
    assert graph.put(node("child", "owner")) == set()
    assert graph.put(node("owner", deleting=True, foreground=True)) == {"owner", "child"}
    assert graph.remove("child") == {"owner"}
    graph.put(node("child", "owner"))
    assert graph.remove("owner") == {"child"}
    assert list(graph.dependents("owner")) == [node("child", "owner")]


def test_an_owner_waits_no_longer_for_a_dependent_that_disowned_it() -> None:
    """Else a foreground deletion whose dependents are released hangs until somebody touches the owner."""
    graph = Graph()
    graph.put(node("owner", deleting=True, foreground=True))
    graph.put(node("child", "owner"))
    assert "owner" in graph.put(node("child"))


def test_the_graph_forgets_what_it_no_longer_needs() -> None:
    """In any order of coming and going nothing is left behind: it runs for months."""
    rng = random.Random(3)
    graph = Graph()
    names = [f"n{i}" for i in range(20)]
    for _ in range(2000):
        name = rng.choice(names)
        if rng.random() < 0.5:
            graph.put(node(name, *rng.sample(names, rng.randrange(3))))
        else:
            graph.remove(name)
    for name in names:
        graph.remove(name)
    assert len(graph) == 0
    assert not any(list(graph.dependents(name)) for name in names)
