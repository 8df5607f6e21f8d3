"""How many seats a request takes: its *width*. Pure.

A list takes one for each hundred objects that are gone through, so that few big lists count as much as many small
reads. The cache goes through all objects of the kind for a list of the present, whatever the limit; the store reads a
page and decodes it: twice the limit, or all objects and the limit where a selector must look at each. A watch that
begins with the objects there are is a list of the present.

Everything else takes one seat. Upstream counts a write's watchers for some milliseconds after its answer: there they
are told in parallel then. Here an event is encoded once for all who see the same, on the one thread that answers
requests as well: the next request runs after that anyhow, and a seat kept free in between would hold back nothing.
"""

from math import ceil

from kaa.api.errors import APIError
from kaa.server.request import Request
from kaa.server.request_info import RequestInfo, flag, parse_int64

OBJECTS_PER_SEAT = 100
MOST_SEATS = 10

MOST_OF_LEVEL = 0.15
"""No request takes more of its level's nominal seats than this, but for one seat."""

CURRENT = ("", "0")
"""Resource versions that the cache answers, whatever the limit."""


def may_be_wide(request: Request, info: RequestInfo) -> bool:
    """Whether the request lists: others take one seat, without any counting."""
    return info.verb == "list" or (info.verb == "watch" and flag(request, "sendInitialEvents"))


def most_seats(nominal: int) -> int:
    """That a request of a level takes, by the level's nominal limit. One without seats of its own limits nothing."""
    return min(MOST_SEATS, ceil(nominal * MOST_OF_LEVEL)) if nominal else MOST_SEATS


def seats_of_list(request: Request, info: RequestInfo, stored: int, most: int) -> int:
    """`stored` is how many objects of the kind there are, in all namespaces."""
    if info.name:
        return 1
    try:
        limit = parse_int64(request.parameter("limit") or "0")
    except APIError:
        return most  # it is refused, by whoever lists
    return max(1, min(most, ceil(_objects(request, info, stored, limit) / OBJECTS_PER_SEAT)))


def _objects(request: Request, info: RequestInfo, stored: int, limit: int) -> int:
    if info.verb == "watch" or not _from_store(request, limit):
        return stored
    page = min(limit, stored) if limit > 0 else stored
    selects = request.parameter("labelSelector") or request.parameter("fieldSelector")
    return stored + page if selects else 2 * page


def _from_store(request: Request, limit: int) -> bool:
    match = request.parameter("resourceVersionMatch")
    if match:
        return match == "Exact"
    return bool(request.parameter("continue")) or (limit > 0 and request.parameter("resourceVersion") not in CURRENT)
