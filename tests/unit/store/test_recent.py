"""The values written last."""

from kaa.store.recent import RecentValues


def test_the_oldest_values_make_room():
    """Memory is bounded by bytes, however large a value is."""
    recent = RecentValues(limit_bytes=10)
    recent.add(1, b"aaaa")
    recent.add(2, b"bbbb")
    assert (recent.get(1), recent.get(2)) == (b"aaaa", b"bbbb")
    recent.add(3, b"cccc")
    assert (recent.get(1), recent.get(2), recent.get(3)) == (None, b"bbbb", b"cccc")
    recent.add(4, b"larger than all")
    assert [recent.get(id) for id in (2, 3, 4)] == [None, None, None]
    recent.add(5, b"fits")
    assert recent.get(5) == b"fits"
