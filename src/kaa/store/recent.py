"""The values written last, by change: what has just been written is most often read next, to tell what it was before.

A lease is renewed, a node's status changes: each event names the value before it, which the log need not be asked for.
"""

from collections import OrderedDict

RECENT_BYTES = 1024 * 1024


class RecentValues:
    """The newest values that together have at most so many bytes."""

    def __init__(self, limit_bytes: int = RECENT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._values: OrderedDict[int, bytes] = OrderedDict()

    def add(self, id: int, value: bytes) -> None:
        self._values[id] = value
        self._bytes += len(value)
        while self._bytes > self._limit_bytes:
            _, dropped = self._values.popitem(last=False)
            self._bytes -= len(dropped)

    def get(self, id: int) -> bytes | None:
        return self._values.get(id)
