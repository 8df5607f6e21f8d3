"""ConfigMaps and Secrets that pods on this node refer to, read through a small cache.

A node may only read what its pods refer to, so objects are got one by one, not listed. An object is at most
`FRESH_SECONDS` old when a volume is refreshed. Bounded: the least recently used beyond `MAX_OBJECTS` are dropped.
"""

from collections import OrderedDict

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.lib.clock import Clock

FRESH_SECONDS = 30.0
MAX_OBJECTS = 1000

Key = tuple[str, str, str]


class ObjectSource:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: OrderedDict[Key, tuple[float, Object | None]] = OrderedDict()

    async def get(self, kind: str, namespace: str, name: str, *, fresh: bool = False) -> Object | None:
        """The object, None when there is none; `fresh` asks the API in any case. Raises APIError, TransportError."""
        key = (kind, namespace, name)
        known = self._known.get(key)
        if known is not None and not fresh and self._clock.monotonic() - known[0] < FRESH_SECONDS:
            self._known.move_to_end(key)
            return known[1]
        found: Object | None
        try:
            found = await self._client.get(kind, name, namespace or None)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            found = None
        self._known[key] = (self._clock.monotonic(), found)
        self._known.move_to_end(key)
        while len(self._known) > MAX_OBJECTS:
            self._known.popitem(last=False)
        return found
