"""How the server itself reads and writes: `Reader` over the watch cache, `Writer` over the registry."""

from collections import OrderedDict
from collections.abc import Mapping

from kaa.api.decode import IGNORE
from kaa.api.objects import Object, copy_object, name_of, namespace_of
from kaa.api.resource import Catalog
from kaa.server.bodies import conform
from kaa.server.deletion import DeleteOptions
from kaa.server.entries import Entry
from kaa.server.registry import Registry, server_write
from kaa.server.storage import decode, key_of
from kaa.server.watch_cache import WatchCache

DECODED_OBJECTS = 2048
"""Objects kept decoded for those who read the same few again and again; the rest are decoded when asked for."""


class CacheReader:
    def __init__(self, cache: WatchCache, catalog: Catalog) -> None:
        self._cache = cache
        self._catalog = catalog
        self._prefixes: dict[str, str] = {}  # of the kinds whose revision somebody asks for, again and again
        self._decoded: OrderedDict[tuple[str, str], tuple[int, Object]] = OrderedDict()

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        resource = self._catalog.named(kind)
        entry = self._cache.kind(resource).entries.get(key_of(resource, namespace, name))
        return None if entry is None else self._object(kind, entry)

    def list(self, kind: str, namespace: str | None = None, fields: Mapping[str, str] | None = None) -> list[Object]:
        entries = self._cache.kind(self._catalog.named(kind)).select(namespace or "")
        if fields:
            wanted = fields.items()
            entries = (e for e in entries if all(e.fields.get(path) == value for path, value in wanted))
        return [self._object(kind, entry) for entry in entries]

    def revision(self, kind: str) -> int:
        prefix = self._prefixes.get(kind)
        if prefix is None:
            prefix = self._prefixes[kind] = self._catalog.named(kind).storage_prefix
        return self._cache.at(prefix).changed

    def _object(self, kind: str, entry: Entry) -> Object:
        key = (kind, entry.key)
        known = self._decoded.get(key)
        if known is not None and known[0] == entry.revision:
            self._decoded.move_to_end(key)
            return known[1]
        obj = decode(self._catalog.named(kind), entry.item)
        self._decoded[key] = (entry.revision, obj)
        self._decoded.move_to_end(key)
        if len(self._decoded) > DECODED_OBJECTS:
            self._decoded.popitem(last=False)
        return obj


class RegistryWriter:
    def __init__(self, registry: Registry, catalog: Catalog) -> None:
        self._registry = registry
        self._catalog = catalog

    async def create(self, kind: str, obj: Object) -> Object:
        resource = self._catalog.named(kind)
        namespace, name = obj["metadata"].get("namespace", ""), obj["metadata"].get("name", "")
        new = conform(copy_object(obj), resource, IGNORE, [])
        write = server_write(resource, "create", namespace, name)
        written = await self._registry.create(resource, namespace, new, write)
        return decode(resource, written.item)

    async def update(self, kind: str, obj: Object, subresource: str = "") -> Object:
        resource = self._catalog.named(kind)
        namespace, name = namespace_of(obj), name_of(obj)
        write = server_write(resource, "update", namespace, name)

        def change(old: Object) -> Object:
            return conform(copy_object(obj), resource, IGNORE, [])

        written = await self._registry.update(resource, namespace, name, change, write, subresource=subresource)
        return decode(resource, written.item)

    async def delete(self, kind: str, name: str, namespace: str = "", *, uid: str = "") -> None:
        resource = self._catalog.named(kind)
        write = server_write(resource, "delete", namespace, name)
        await self._registry.delete(resource, namespace, name, DeleteOptions(uid=uid), write)
