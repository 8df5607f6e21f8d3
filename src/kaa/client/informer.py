"""An informer: a local copy of one kind, kept up to date by list and watch, and the changes told in order.

It lists once, then watches from the list's revision on. A watch that ends is resumed where it stopped (bookmarks move
that point along while nothing changes); only when the server has forgotten that revision (Expired) is everything
listed again, and what changed meanwhile is then told as differences. Subscribers are called synchronously, in order,
and after the cache has changed. Objects from an informer are never modified: copy them first.

    informer = Informer(client, "Pod", clock)
    informer.subscribe(lambda change: queue.add(name_of(change.new or change.old)))
    group.create_task(informer.run());  await informer.wait_synced();  informer.get("web-0", "default")
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from kaa.api.errors import APIError
from kaa.api.objects import Object, labels_of, name_of, namespace_of
from kaa.api.resource import Resource
from kaa.api.selectors import Selector, parse_label_selector
from kaa.client.cache import BY_CONTROLLER, Cache, IndexKeys, Key, Objects, revision_of
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock

log = logging.getLogger(__name__)

BACKOFF = Backoff(initial_seconds=0.1, limit_seconds=10.0)
"""Between tries, with up to as much again at random, so that many clients do not come back at once."""

WATCH_SECONDS = 300
"""A watch is asked to end after this to twice this time, chosen at random: no connection lives for ever."""

SHORT_WATCH_SECONDS = 1.0
"""A watch that ends sooner, having told nothing, counts as a failure."""

EVENT_REVISION = re.compile(
    rb'\{"type":"(?:ADDED|MODIFIED)","object":\{"apiVersion":"[^"]*","kind":"[^"]*","metadata":\{"resourceVersion":"(\d+)"'
)
"""How an event begins, as Kaa's server writes it: so one can tell an object that one knows without decoding it."""

MAX_OBSERVED = 1024
"""Writes of our own whose event has not come yet; of others the event is decoded."""


@dataclass(frozen=True, slots=True)
class Change:
    """An object came (`old` None), changed, or went (`new` None). At least one is there."""

    old: Object | None
    new: Object | None


Handler: TypeAlias = Callable[[Change], None]
Trim: TypeAlias = Callable[[Object], Object]


def without_managed_fields(obj: Object) -> Object:
    """A third of an object says who has written which field; who works with the object does not ask."""
    metadata = obj["metadata"]
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {field: value for field, value in metadata.items() if field != "managedFields"}}


def whole(obj: Object) -> Object:
    return obj


class Informer:
    def __init__(
        self,
        client: Client,
        kind: str | Resource,
        clock: Clock,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        trim: Trim = without_managed_fields,
    ) -> None:
        """`trim`: what is kept and told of each object; with its metadata's names and resourceVersion."""
        self.resource = client.resource(kind)
        self.namespace = namespace
        self.label_selector = label_selector
        self.field_selector = field_selector
        self._client = client
        self._clock = clock
        self.trim = trim
        self._selector = parse_label_selector(label_selector)
        self._cache = Cache()
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._resource_version = ""  # where the next watch begins; "" means that a list comes first
        self._seen_revision = 0  # every change up to here has been told
        self._observed: set[bytes] = set()  # revisions of objects taken in before their event

    # What is known

    def __len__(self) -> int:
        return len(self._cache)

    def get(self, name: str, namespace: str = "") -> Object | None:
        return self._cache.get((namespace, name))

    def list(self, namespace: str | None = None, selector: Selector | None = None) -> Objects:
        return self._cache.list(namespace, selector)

    def count(self, namespace: str) -> int:
        """How many objects there are in the namespace."""
        return self._cache.count(namespace)

    def owned(self, owner_uid: str) -> Objects:
        """The objects whose controlling owner has that uid."""
        return self._cache.by_index(BY_CONTROLLER, owner_uid)

    def add_index(self, name: str, keys: IndexKeys) -> None:
        """`keys` says, from an object alone, under which keys `by_index` finds it."""
        self._cache.add_index(name, keys)

    def by_index(self, name: str, key: str) -> Objects:
        return self._cache.by_index(name, key)

    def count_by_index(self, name: str, key: str) -> int:
        return self._cache.count_by_index(name, key)

    def subscribe(self, handler: Handler) -> None:
        """Calls `handler` for every object that is there already, then for every change."""
        self._handlers.append(handler)
        for namespace, name in list(self._cache):
            handler(Change(None, self.get(name, namespace)))

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Until the first list has been told."""
        await self._synced.wait()

    def observe(self, obj: Object) -> None:
        """Takes in the answer to a write at once, if the watch has not told of it yet: one reads one's own writes."""
        key = _key(obj)
        known = max(self._seen_revision, self._cache.revision(key))
        if revision_of(obj) > known and self._is_selected(key, obj):
            self._put(key, obj)
            if len(self._observed) < MAX_OBSERVED:
                self._observed.add(obj["metadata"]["resourceVersion"].encode())

    def _is_selected(self, key: Key, obj: Object) -> bool:
        """Whether the object is one of ours; with a field selector only the server can tell of a new one."""
        if key in self._cache:
            return self._selector.matches(labels_of(obj))
        in_namespace = self.namespace is None or self.namespace == namespace_of(obj)
        return in_namespace and not self.field_selector and self._selector.matches(labels_of(obj))

    # List and watch

    async def run(self) -> None:
        """Keeps the copy up to date until cancelled."""
        failures = 0
        while True:
            seen, started = self._seen_revision, self._clock.monotonic()
            retry_after_seconds = 0.0
            try:
                if not self._resource_version:
                    await self._list()
                await self._watch()
                lasted = self._clock.monotonic() - started
                error = "" if lasted >= SHORT_WATCH_SECONDS else "the server ended the watch at once"
            except APIError as failure:
                error = str(failure)
                retry_after_seconds = failure.retry_after_seconds
                if failure.code == 410:  # Expired or Gone: the revision is no longer known
                    self._resource_version = ""
            except TransportError as failure:
                error = str(failure)
            if not error or self._seen_revision > seen:
                failures = 0
            if error:
                failures += 1
                if failures == 1:
                    log.info("watch of %s: %s", self.resource.name, error)
                delay = BACKOFF.delay(failures) * (1 + self._clock.random.random())
                await self._clock.sleep(max(delay, retry_after_seconds))

    async def _list(self) -> None:
        gone = dict.fromkeys(self._cache)  # a set in the order of arrival
        pages = self._client.list_pages(
            self.resource, self.namespace, label_selector=self.label_selector, field_selector=self.field_selector
        )
        async for page in pages:
            for obj in page.items:
                key = _key(obj)
                gone.pop(key, None)
                if revision_of(obj) > self._cache.revision(key):
                    self._put(key, obj)
            resource_version = page.resource_version
        self._saw(resource_version)
        self._observed.clear()
        for key in gone:
            if self._cache.revision(key) <= self._seen_revision:  # else it was observed after the list
                self._remove(key, None)
        self._synced.set()

    async def _watch(self) -> None:
        lines = self._client.watch_lines(
            self.resource,
            self.namespace,
            resource_version=self._resource_version,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            timeout_seconds=int(WATCH_SECONDS * (1 + self._clock.random.random())),
        )
        async for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        """One watch event."""
        if self._observed and (head := EVENT_REVISION.match(line)) is not None and head[1] in self._observed:
            self._observed.remove(head[1])
            self._saw(head[1].decode())
            return
        event = orjson.loads(line)
        obj: Object = event["object"]
        if event["type"] == "ERROR":
            raise APIError.from_status(obj, obj.get("code", 500))
        if event["type"] != "BOOKMARK":
            key = _key(obj)
            revision, cached = revision_of(obj), self._cache.revision(key)
            # What is cached may be newer already: a write of our own that was observed.
            if event["type"] == "DELETED" and revision >= cached:
                self._remove(key, self.trim(obj))
            elif event["type"] != "DELETED" and revision > cached:
                self._put(key, obj)
        self._saw(obj["metadata"]["resourceVersion"])

    def _saw(self, resource_version: str) -> None:
        self._resource_version = resource_version
        if resource_version.isdecimal():
            self._seen_revision = max(self._seen_revision, int(resource_version))

    def _put(self, key: Key, obj: Object) -> None:
        obj = self.trim(obj)
        old = self._cache.get(key) if self._handlers else None
        self._cache.put(key, obj)
        self._tell(Change(old, obj))

    def _remove(self, key: Key, last: Object | None) -> None:
        """`last` is the object's last state, if known better than from the cache."""
        old = last or self._cache.get(key)
        if key in self._cache:
            self._cache.remove(key)
            self._tell(Change(old, None))

    def _tell(self, change: Change) -> None:
        for handler in self._handlers:
            handler(change)


def _key(obj: Object) -> Key:
    return namespace_of(obj), name_of(obj)
