"""Forms: how objects, lists and watch events are written. The objects themselves as JSON is the form that is fast.

A form is made once for a row and an encoding, and shared by everybody who asks for it: watchers of one form share
the bytes of each event. Its input is items (see storage), which the JSON form passes through without decoding.

    watch as JSON       {"type":"ADDED","object":{...}} and a newline
    watch as protobuf   the length in four bytes, then the event's message
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.api.tables import table
from kaa.lib.clock import Clock
from kaa.server.entries import Entry
from kaa.server.negotiation import JSON, PROTOBUF, Accepted, encode, not_acceptable
from kaa.server.storage import at_revision, decode, served_item

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends the initial events of a watch that began with a list."""


class JSONForm:
    """The objects, as JSON."""

    content_type = JSON

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._head = resource.json_head
        # Items of custom kinds say what they are even inside a list: clients have no type that would say it.
        self._item_head = self._head if resource.schema is not None else b"{"

    def one(self, item: bytes) -> bytes:
        return b"%b%b" % (self._head, served_item(self._resource, item)[1:])

    def many(self, items: Sequence[bytes], metadata: Mapping[str, Any]) -> bytes:
        resource = self._resource
        head = f'{{"kind":"{resource.list_kind}","apiVersion":"{resource.api_version}","metadata":'.encode()
        if not items:
            return b'%b%b,"items":[]}' % (head, orjson.dumps(metadata))
        if resource.from_storage is not None:
            items = [served_item(resource, item) for item in items]
        if self._item_head != b"{":
            items = [self._item_head + item[1:] for item in items]
        # One join is one copy of the list. Adding the ends to its result would be two more.
        parts = list(items)
        parts[0] = b'%b%b,"items":[%b' % (head, orjson.dumps(metadata), parts[0])
        parts[-1] += b"]}"
        return b",".join(parts)

    def event(self, type_: str, entry: Entry, revision: int) -> bytes:
        item = entry.item if type_ != "DELETED" else at_revision(entry.item, revision)
        item = served_item(self._resource, item)
        return b'{"type":"%b","object":%b%b}\n' % (type_.encode(), self._head, item[1:])

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        metadata = _bookmark_metadata(revision, initial_events_end)
        return b'{"type":"BOOKMARK","object":%b"metadata":%b}}\n' % (self._head, orjson.dumps(metadata))

    def error(self, status: Object) -> bytes:
        return _json_event("ERROR", status)


class ObjectForm(ABC):
    """Forms that are worked out from whole objects. What differs is `show` and `show_list`."""

    def __init__(self, resource: Resource, accepted: Accepted) -> None:
        self._resource = resource
        self._accepted = accepted
        self.content_type = accepted.encoding

    @abstractmethod
    def show(self, obj: Object) -> Object: ...

    @abstractmethod
    def show_list(self, objects: list[Object], metadata: Mapping[str, Any]) -> Object: ...

    def one(self, item: bytes) -> bytes:
        return encode(self.show(decode(self._resource, item)), self._accepted.encoding)

    def many(self, items: Sequence[bytes], metadata: Mapping[str, Any]) -> bytes:
        objects = [decode(self._resource, item) for item in items]
        return encode(self.show_list(objects, metadata), self._accepted.encoding)

    def event(self, type_: str, entry: Entry, revision: int) -> bytes:
        item = entry.item if type_ != "DELETED" else at_revision(entry.item, revision)
        return self._event(type_, self.show(decode(self._resource, item)))

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        shown = self.show_bookmark(_bookmark_metadata(revision, initial_events_end))
        return self._event("BOOKMARK", shown)

    def error(self, status: Object) -> bytes:
        return self._event("ERROR", status)

    def _event(self, type_: str, shown: Object) -> bytes:
        if self._accepted.encoding == PROTOBUF:
            from kaa.api.protobuf import encode_watch_event

            return encode_watch_event(type_, encode(shown, PROTOBUF))
        return _json_event(type_, shown)

    def show_bookmark(self, metadata: Object) -> Object:
        return self.show({"apiVersion": self._resource.api_version, "kind": self._resource.kind, "metadata": metadata})


class WholeForm(ObjectForm):
    """The objects, in another encoding than JSON."""

    def show(self, obj: Object) -> Object:
        return obj

    def show_list(self, objects: list[Object], metadata: Mapping[str, Any]) -> Object:
        if self._resource.schema is None:
            for obj in objects:
                del obj["apiVersion"], obj["kind"]
        return {
            "apiVersion": self._resource.api_version,
            "kind": self._resource.list_kind,
            "metadata": metadata,
            "items": objects,
        }


class PartialForm(ObjectForm):
    """Metadata alone, for clients that only follow names, labels and owners."""

    def show(self, obj: Object) -> Object:
        api_version = f"meta.k8s.io/{self._accepted.version}"
        return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj["metadata"]}

    def show_list(self, objects: list[Object], metadata: Mapping[str, Any]) -> Object:
        api_version = f"meta.k8s.io/{self._accepted.version}"
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": api_version,
            "metadata": metadata,
            "items": [self.show(obj) for obj in objects],
        }


class TableForm(ObjectForm):
    """Rows of cells, for people."""

    def __init__(self, resource: Resource, accepted: Accepted, clock: Clock, include_object: str) -> None:
        super().__init__(resource, accepted)
        self._clock = clock
        self._include_object = include_object

    def show(self, obj: Object) -> Object:
        return self.show_list([obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})

    def show_list(self, objects: list[Object], metadata: Mapping[str, Any]) -> Object:
        shown = table(self._resource, objects, self._clock.now(), metadata, self._include_object)
        shown["apiVersion"] = f"meta.k8s.io/{self._accepted.version}"
        return shown

    def show_bookmark(self, metadata: Object) -> Object:
        return self.show_list([], metadata)


def _json_event(type_: str, shown: Object) -> bytes:
    return orjson.dumps({"type": type_, "object": shown}) + b"\n"


def _bookmark_metadata(revision: int, initial_events_end: bool) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_events_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return metadata


AnyForm = JSONForm | ObjectForm

FORMS_KEPT = 1024
"""Forms in use at a time: kinds times encodings. Beyond it the table starts anew; only sharing is lost."""


class Forms:
    """The forms that have been asked for, made once each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._forms: dict[tuple[int, Accepted, str], tuple[Resource, AnyForm]] = {}

    def form(self, resource: Resource, accepted: Accepted, include_object: str = "") -> AnyForm:
        key = (id(resource), accepted, include_object)
        known = self._forms.get(key)
        if known is not None and known[0] is resource:
            return known[1]
        form = self._make(resource, accepted, include_object)
        if len(self._forms) >= FORMS_KEPT:
            self._forms.clear()
        self._forms[key] = (resource, form)  # the row is held, so that its id stays its own
        return form

    def _make(self, resource: Resource, accepted: Accepted, include_object: str) -> AnyForm:
        if accepted.transform == "Table":
            return TableForm(resource, accepted, self._clock, include_object or "Metadata")
        if accepted.transform:
            return PartialForm(resource, accepted)
        return JSONForm(resource) if accepted.encoding == JSON else WholeForm(resource, accepted)


STREAM_TYPES = {JSON: JSON, PROTOBUF: f"{PROTOBUF};stream=watch"}
"""The media type of a watch in each encoding that can be a stream."""


def stream_type(form: AnyForm) -> str:
    """Raises NotAcceptable."""
    if form.content_type not in STREAM_TYPES:
        raise not_acceptable()
    return STREAM_TYPES[form.content_type]
