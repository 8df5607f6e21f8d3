"""How an object lies in the store, and how its bytes are turned into what is served without decoding them.

Stored:  `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a",...},"spec":...}` at
         `/registry/core/pods/<namespace>/<name>`, never with a resourceVersion: the store's revision is that.
Served:  the *head* `{"apiVersion":"v1","kind":"Pod",` of the row that was asked, then the *item* without its brace.
Item:    `{"metadata":{"resourceVersion":"7","name":"a",...},"spec":...}`, as it stands in a list.

The order apiVersion, kind, metadata is this module's promise to itself: `encode` is the only writer.
"""

import orjson

from kaa.api.objects import Object
from kaa.api.resource import STORE_ROOT, Catalog, Resource

REGISTRY = STORE_ROOT
METADATA = b'"metadata":{'
ITEM_HEAD = b'{"metadata":{"resourceVersion":"'


def prefix_of(resource: Resource) -> str:
    """The store prefix of a kind, the same for all its versions."""
    return resource.storage_prefix


def key_of(resource: Resource, namespace: str, name: str) -> str:
    """The part of the store key behind the prefix: `<namespace>/<name>`, or the name."""
    return f"{namespace}/{name}" if resource.namespaced else name


def storage_version(resource: Resource) -> str:
    """The apiVersion that objects of the kind are stored as."""
    group = resource.group if resource.storage_group is None else resource.storage_group
    version = resource.storage_version or resource.version
    return f"{group}/{version}" if group else version


def encode(resource: Resource, obj: Object) -> bytes:
    """The stored bytes of an object of the version `resource`."""
    stored = resource.to_storage(obj) if resource.to_storage is not None else obj
    metadata = dict(stored["metadata"])
    metadata.pop("resourceVersion", None)
    # These three come first, whatever order the object had.
    ordered = {"apiVersion": None, "kind": None, "metadata": None, **stored}
    ordered["apiVersion"], ordered["kind"], ordered["metadata"] = storage_version(resource), resource.kind, metadata
    return orjson.dumps(ordered)


def item_of(stored: bytes, revision: int) -> bytes:
    """The item that stored bytes are at that revision."""
    start = stored.index(METADATA) + len(METADATA)
    return b'{"metadata":{"resourceVersion":"%d",%b' % (revision, stored[start:])


def at_revision(item: bytes, revision: int) -> bytes:
    """The same item with another revision, as a watch gives a deleted object that of its deletion."""
    end = item.index(b'"', len(ITEM_HEAD))
    return b"%b%d%b" % (ITEM_HEAD, revision, item[end:])


def served_item(resource: Resource, item: bytes) -> bytes:
    """An item in the version `resource`: the same bytes, unless the stored version has another form."""
    if resource.from_storage is None:
        return item
    head = f'{{"apiVersion":"{storage_version(resource)}","kind":"{resource.kind}",'.encode()
    obj = resource.from_storage(orjson.loads(b"%b%b" % (head, item[1:])))
    version = obj["metadata"].pop("resourceVersion")
    metadata = {"resourceVersion": version, **obj["metadata"]}
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    return orjson.dumps({"metadata": metadata, **rest})


def with_head(resource: Resource, item: bytes) -> bytes:
    """The whole object, as a GET answers it."""
    return resource.json_head + served_item(resource, item)[1:]


def decode(resource: Resource, item: bytes) -> Object:
    """A new dict of the object in the version `resource`; the caller may change it."""
    obj: Object = orjson.loads(with_head(resource, item))
    return obj


def is_stored(resource: Resource) -> bool:
    """Kinds that are only ever created, as TokenReview and Binding, are answered and never stored."""
    return "get" in resource.verbs and resource.kind != "ComponentStatus"


def stored_rows(catalog: Catalog) -> dict[str, Resource]:
    """A row a store prefix: the one whose selectable fields the cache keeps, which is the storage version's."""
    rows: dict[str, Resource] = {}
    for resource in catalog:
        if is_stored(resource) and (resource.from_storage is None or prefix_of(resource) not in rows):
            rows[prefix_of(resource)] = resource
    return rows
