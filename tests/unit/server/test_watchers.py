"""Watchers: where each looks, who shares what is encoded, and the short way out."""

import asyncio

import pytest

from kaa.server.entries import Change, Entry
from kaa.server.request import Outlet
from kaa.server.watchers import WATCHER_QUEUE_EVENTS, Place, Watcher, Watchers


class CountingForm:
    """Tells an event in words, and counts how often it is asked to."""

    def __init__(self):
        self.encoded = 0

    def event(self, type_, entry, revision):
        self.encoded += 1
        return f"{type_} {entry.name} {revision}".encode()


def entry(name, node="", *, namespace="default", revision=1):
    return Entry(f"{namespace}/{name}", namespace, name, {}, {"spec.nodeName": node}, revision, 1, b"{}")


def on_node(name):
    return Place(field="spec.nodeName", value=name)


def watching(watchers, place, *, form=None, selects=None, after=0):
    watcher = Watcher(place, selects, form or CountingForm(), after)
    watchers.add(watcher)
    return watcher


@pytest.mark.parametrize(
    ("place", "sees"),
    [
        (Place(), True),
        (Place("default"), True),
        (Place("other"), False),
        (Place("default", "a"), True),
        (Place(name="a"), True),
        (Place(name="b"), False),
        (on_node("here"), True),
        (on_node("there"), False),
        (Place("other", field="spec.nodeName", value="here"), False),
    ],
)
def test_a_change_is_seen_from_where_it_is(place, sees):
    """A watcher hears of its place and of nothing else."""
    watchers = Watchers()
    watcher = watching(watchers, place)
    watchers.tell(Change(2, entry("a", "here", revision=2), None))
    assert watcher.take() == ([b"ADDED a 2"] if sees else [])


def test_what_leaves_a_place_is_deleted_there_and_added_where_it_goes():
    """Both the place that an object was in and the one that it is in hear of its move."""
    watchers = Watchers()
    left, entered = (
        watching(watchers, on_node(node), selects=lambda e, node=node: e.fields["spec.nodeName"] == node)
        for node in ("one", "two")
    )
    watchers.tell(Change(3, entry("a", "two", revision=3), entry("a", "one")))
    assert left.take() == [b"DELETED a 3"]
    assert entered.take() == [b"ADDED a 3"]


def test_an_event_is_encoded_once_for_all_who_see_it():
    """The cost of many watchers is that of writing bytes, wherever they look from."""
    watchers, form = Watchers(), CountingForm()
    group = [watching(watchers, place, form=form) for place in (Place(), Place("default"), Place("default"))]
    late = watching(watchers, Place(), form=form, after=2)
    watchers.tell(Change(2, entry("a", revision=2), None))
    assert form.encoded == 1
    assert [watcher.take() for watcher in group] == [[b"ADDED a 2"]] * 3
    assert late.take() == []


def test_watchers_that_have_gone_leave_nothing():
    """A place, a group and a field in use last as long as somebody needs them."""
    watchers = Watchers()
    kept, gone = (watching(watchers, on_node("here")) for _ in range(2))
    watchers.remove(gone)
    watchers.tell(Change(2, entry("a", "here", revision=2), None))
    assert (kept.take(), gone.take()) == ([b"ADDED a 2"], [])
    watchers.remove(kept)
    assert list(watchers) == []


async def test_an_event_goes_past_the_queue_only_while_it_is_waited_for():
    """Order holds: what was queued is written first, and what cannot be written at once is queued."""
    written: list[bytes] = []
    accepts = True

    def write(chunk):
        if accepts:
            written.append(chunk)
        return accepts

    watcher = Watcher(Place(), None, CountingForm(), 0, Outlet(write))
    watcher.offer(b"1")
    assert (written, watcher.take()) == ([], [b"1"])
    waiting = asyncio.ensure_future(watcher.wait())
    await asyncio.sleep(0)
    watcher.offer(b"2")
    assert written == [b"2"]
    accepts = False
    watcher.offer(b"3")
    accepts = True
    watcher.offer(b"4")
    await waiting
    assert (written, watcher.take()) == ([b"2"], [b"3", b"4"])


def test_a_watcher_that_falls_behind_is_ended():
    """A client that does not read costs a bounded queue."""
    watchers = Watchers()
    watcher = watching(watchers, Place())
    for revision in range(1, WATCHER_QUEUE_EVENTS + 2):
        watchers.tell(Change(revision, entry("a", revision=revision), None))
    assert watcher.ended
    assert len(watcher.queue) == WATCHER_QUEUE_EVENTS
