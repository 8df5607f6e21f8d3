"""LIST: which objects, as of which revision, and how a list goes on where its page ended.

    resourceVersion   unset  everything committed before the request
                      "0"    whatever the cache holds now
                      n      at least n (NotOlderThan), or exactly n (Exact; also meant by n with a limit)
    continue          the revision of the first page and the key to go on with

The cache answers for the present; the past is read from the store, unless nothing of the kind has changed since. What
has been compacted is Expired either way: a token's life does not depend on how busy the kind is.
Source: API concepts, "Resource versions" and "Retrieving large results sets in chunks".
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson

from kaa.api.errors import APIError, Cause, bad_request
from kaa.api.resource import Resource
from kaa.api.selectors import EVERYTHING, FieldSelector, FieldTerm, Selector, parse_field_selector, parse_label_selector
from kaa.server.entries import Entry
from kaa.server.request import Request
from kaa.server.request_info import INT64_BOUND, TRUE, parse_int64
from kaa.server.storage import prefix_of
from kaa.server.watch_cache import KindCache, WatchCache, entry_of
from kaa.server.watchers import Place, Predicate
from kaa.store.store import Compacted, FutureRevision, Store

STORE_PAGE = 500
"""Objects read from the store at a time for a list of the past."""

MAX_LIMIT = INT64_BOUND - 2
"""A page with one object more than asked for is still a number of objects."""

ANY_FIELDS = FieldSelector()

PREDICATES_KEPT = 1024
"""Selections in use at a time. Beyond it only sharing is lost: watchers of one selection have one predicate."""

TOKEN_VERSION = "meta.k8s.io/v1"
LATEST = -1
"""A token's revision that means: go on from the key, with whatever is there now."""

TOO_OLD_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """metav1.ListOptions, parsed. `send_initial_events` None: not said."""

    labels: Selector = EVERYTHING
    fields: FieldSelector = ANY_FIELDS
    limit: int = 0
    token: str = ""
    resource_version: str = ""
    match: str = ""
    send_initial_events: bool | None = None
    bookmarks: bool = False
    timeout_seconds: int = 0

    @property
    def revision(self) -> int:
        return int(self.resource_version or "0")


def list_options(request: Request) -> ListOptions:
    """The options in a query. Raises BadRequest, or Invalid for what contradicts itself."""
    given: dict[str, str] = {}
    for key, value in request.query:
        given.setdefault(key, value)
    initial = given.get("sendInitialEvents")
    options = ListOptions(
        parse_label_selector(given.get("labelSelector", "")),
        parse_field_selector(given.get("fieldSelector", "")),
        min(max(parse_int64(given.get("limit") or "0"), 0), MAX_LIMIT),
        given.get("continue", ""),
        given.get("resourceVersion", ""),
        given.get("resourceVersionMatch", ""),
        None if initial is None else initial in TRUE,
        given.get("allowWatchBookmarks", "false") in TRUE,
        max(parse_int64(given.get("timeoutSeconds") or "0"), 0),
    )
    if options.resource_version and not is_revision(options.resource_version):
        raise _invalid("resourceVersion", f'Invalid value: "{options.resource_version}": must be an integer')
    return options


def is_revision(text: str) -> bool:
    """Whether a resource version can be one of the store's."""
    return re.fullmatch("[0-9]{1,19}", text) is not None and int(text) < INT64_BOUND


def check_list(options: ListOptions) -> None:
    """Raises Invalid for combinations that mean nothing."""
    if options.send_initial_events is not None:
        raise _invalid("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list")
    if not options.match:
        return
    if options.match not in ("Exact", "NotOlderThan"):
        supported = 'supported values: "Exact", "NotOlderThan"'
        raise _invalid("resourceVersionMatch", f'Unsupported value: "{options.match}": {supported}')
    if not options.resource_version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _invalid("resourceVersionMatch", f"Forbidden: {why}")
    if options.token:
        raise _invalid("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden when continue is provided")
    if options.match == "Exact" and options.resource_version == "0":
        why = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
        raise _invalid("resourceVersionMatch", f"Forbidden: {why}")


def check_watch(options: ListOptions) -> None:
    """Raises Invalid for combinations that mean nothing."""
    if options.send_initial_events is None:
        if options.match:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            raise _invalid("resourceVersionMatch", f"Forbidden: {why}")
        return
    if options.match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise _invalid("resourceVersionMatch", f"Forbidden: {why}")


def _invalid(field: str, message: str) -> APIError:
    reasons = {"Forbidden": "FieldValueForbidden", "Unsupported value": "FieldValueNotSupported"}
    reason = reasons.get(message.partition(":")[0], "FieldValueInvalid")
    text = f'ListOptions.meta.k8s.io "" is invalid: {field}: {message}'
    return APIError("Invalid", text, causes=[Cause(reason, message, field)], group="meta.k8s.io", kind="ListOptions")


def check_fields(resource: Resource, fields: FieldSelector) -> None:
    """Raises BadRequest for a field that the kind cannot be selected by."""
    for path in fields.paths:
        if path in ("metadata.name", "metadata.namespace") or path in resource.selectable_fields:
            continue
        if resource.selectable_fields:
            raise bad_request(f"field label not supported: {path}")
        raise bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def stored_terms(resource: Resource, fields: FieldSelector) -> tuple[FieldTerm, ...]:
    """What the fields of a version are called in the version that is stored."""
    names = resource.stored_fields
    return tuple(replace(term, path=names.get(term.path, term.path)) for term in fields.terms)


def predicate_of(resource: Resource, options: ListOptions) -> Predicate | None:
    """The selection as a question to an entry; None when everything is selected."""
    return _predicate(options.labels, stored_terms(resource, options.fields))


@lru_cache(maxsize=PREDICATES_KEPT)
def _predicate(labels: Selector, terms: tuple[FieldTerm, ...]) -> Predicate | None:
    if labels.matches_everything and not terms:
        return None
    if not terms:
        return lambda entry: labels.matches(entry.labels)
    if labels.matches_everything:
        return lambda entry: all(_holds(term, entry) for term in terms)
    return lambda entry: labels.matches(entry.labels) and all(_holds(term, entry) for term in terms)


def _holds(term: FieldTerm, entry: Entry) -> bool:
    match term.path:
        case "metadata.name":
            value = entry.name
        case "metadata.namespace":
            value = entry.namespace
        case path:
            value = entry.fields.get(path, "")
    return (value == term.value) != term.negated


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look: in one namespace ("": all), for one name ("": any)."""

    namespace: str = ""
    name: str = ""


def scope_of(resource: Resource, namespace: str, options: ListOptions) -> Scope:
    """The scope of a request, narrowed by what its field selector demands."""
    wanted = options.fields.required("metadata.namespace") if resource.namespaced else None
    name = options.fields.required("metadata.name") or ""
    namespace = (namespace or wanted or "") if resource.namespaced else ""
    return Scope(namespace, name)


def place_of(resource: Resource, scope: Scope, options: ListOptions) -> Place:
    """Where a watch of a scope looks: narrowed by the first field, besides name and namespace, that is demanded."""
    for term in stored_terms(resource, options.fields):
        if not term.negated and term.path not in ("metadata.name", "metadata.namespace"):
            return Place(scope.namespace, scope.name, term.path, term.value)
    return Place(scope.namespace, scope.name)


def encode_token(revision: int, start: str) -> str:
    token = orjson.dumps({"v": TOKEN_VERSION, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def decode_token(token: str) -> tuple[int, str]:
    """The revision and the key to go on with. Raises BadRequest."""
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, start = int(decoded["rv"]), str(decoded["start"])
    except (binascii.Error, orjson.JSONDecodeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise bad_request(f"continue key is not valid: {error}") from None
    if decoded.get("v") != TOKEN_VERSION or not start:
        raise bad_request("continue key is not valid: server does not recognize this encoded version")
    if not LATEST <= revision < INT64_BOUND:
        raise bad_request("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    return revision, start


@dataclass(frozen=True, slots=True)
class Listed:
    """One page: the items in order, and the list's metadata."""

    entries: list[Entry]
    metadata: dict[str, Any]


class Lister:
    def __init__(self, store: Store, cache: WatchCache) -> None:
        self._store = store
        self._cache = cache

    async def page(self, resource: Resource, namespace: str, options: ListOptions) -> Listed:
        """The page that the options ask for. Raises Expired, Timeout (a revision to come), BadRequest."""
        check_list(options)
        check_fields(resource, options.fields)
        scope = scope_of(resource, namespace, options)
        selects = predicate_of(resource, options)
        revision, start = await self._where(options)
        kind = self._cache.kind(resource)
        if revision and (kind.changed > revision or self._store.compacted_revision > revision):
            entries, count = await self._past(resource, scope, selects, options.limit, revision, start)
        else:
            revision = revision or self._cache.revision
            found: Iterable[Entry] = _in_scope(kind, scope, start)
            if selects is not None:
                found = filter(selects, found)
            entries = list(islice(found, options.limit + 1) if options.limit else found)
            count = _count_from(kind, scope, start)
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if options.limit and len(entries) > options.limit:
            del entries[options.limit :]
            metadata["continue"] = encode_token(revision, entries[-1].key + "\0")
            if selects is None:
                metadata["remainingItemCount"] = count - options.limit
        return Listed(entries, metadata)

    async def _where(self, options: ListOptions) -> tuple[int, str]:
        """The exact revision to list (0: the cache's present) and the key to begin with."""
        if options.token:
            if options.resource_version not in ("", "0"):
                raise bad_request("specifying resource version is not allowed when using continue")
            revision, start = decode_token(options.token)
            if revision == LATEST:
                await self._cache.caught_up()
                return 0, start
            await self._cache.reached(revision)
            return revision, start
        if not options.resource_version:
            await self._cache.caught_up()
            return 0, ""
        await self._cache.reached(options.revision)
        exact = options.match == "Exact" or (options.limit and not options.match)
        return (options.revision if exact else 0), ""

    async def _past(
        self, resource: Resource, scope: Scope, selects: Predicate | None, limit: int, revision: int, start: str
    ) -> tuple[list[Entry], int]:
        """Entries as of a revision, from the store: at most one more than the limit, which says that there are more.

        And how many objects the namespace has from `start` on, whatever selects.
        """
        prefix = prefix_of(resource)
        fields = tuple(resource.stored_fields.get(path, path) for path in resource.selectable_fields)
        within = f"{prefix}{scope.namespace}/" if scope.namespace else prefix
        next_key = prefix + start if start else ""
        found: list[Entry] = []
        count = -1
        while True:
            try:
                page = await self._store.range(within, start=next_key, limit=STORE_PAGE, revision=revision)
            except Compacted:
                raise self._expired(start, revision) from None
            except FutureRevision:
                raise APIError("Timeout", f"Too large resource version: {revision}") from None
            count = page.count if count < 0 else count
            for kv in page.items:
                key = kv.key[len(prefix) :]
                entry = entry_of(key, kv.value, kv.mod_revision, kv.create_revision, fields)
                if (not scope.name or entry.name == scope.name) and (selects is None or selects(entry)):
                    found.append(entry)
            if not page.more or (limit and len(found) > limit):
                return (found[: limit + 1] if limit else found), count
            next_key = page.items[-1].key + "\0"

    def _expired(self, start: str, revision: int) -> APIError:
        """With the token that goes on without being consistent, for a list that had begun."""
        if start:
            return APIError("Expired", TOO_OLD_TOKEN, continue_token=encode_token(LATEST, start))
        return APIError("Expired", f"The resourceVersion for the provided list is too old: {revision}")


def _in_scope(kind: KindCache, scope: Scope, start: str) -> Iterator[Entry]:
    if scope.name and not scope.namespace:
        # One name in all namespaces; for a cluster-scoped kind the key is the name.
        return (entry for entry in kind.select(start=start) if entry.name == scope.name)
    return kind.select(scope.namespace, scope.name, start)


def _count_from(kind: KindCache, scope: Scope, start: str) -> int:
    """How many objects the namespace has from the key `start` on."""
    if not scope.namespace:
        return len(kind.entries) - int(kind.entries.bisect_left(start))
    first = kind.entries.bisect_left(max(start, scope.namespace + "/"))
    return int(kind.entries.bisect_left(scope.namespace + "0") - first)
