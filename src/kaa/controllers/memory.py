"""Since when something has been seen to be so, by our own clock.

For facts whose own time cannot be used: a heartbeat's time is the node's clock's, and an absence has none. It is
forgotten when the process ends, so that after a restart everybody has the full grace time again.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Since:
    """Holds one entry a key; whoever uses it forgets the keys of what no longer exists."""

    _seen: dict[str, tuple[Hashable, datetime]] = field(default_factory=dict)

    def note(self, key: str, value: Hashable, now: datetime) -> datetime:
        """When `key` was first noted with this value without another in between; `now` for a new value."""
        known = self._seen.get(key)
        if known is None or known[0] != value:
            known = self._seen[key] = (value, now)
        return known[1]

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)
