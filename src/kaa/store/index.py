"""The key index: which versions every key has, in memory. The values are in the change log.

A *version* is a change's id and the revision of the key's creation, 0 when the change was a deletion. A key's
versions are kept flat in one array of 64-bit integers (id, create_revision, id, create_revision, ...), oldest first:
some 300 bytes a key with one version. *Live* keys exist now; *dead* ones are deleted, and kept only for readers of
the past until compaction drops them.
"""

from array import array
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import NamedTuple

from sortedcontainers import SortedDict

from kaa.store.log import Change, revision_of


class Version(NamedTuple):
    key: str
    id: int
    create_revision: int

    @property
    def mod_revision(self) -> int:
        return revision_of(self.id)


class KeyIndex:
    def __init__(self) -> None:
        self._live = SortedDict()
        self._dead = SortedDict()
        self._with_history: set[str] = set()  # keys with a version that compaction can drop

    def __len__(self) -> int:
        return len(self._live)

    def apply(self, change: Change) -> None:
        """Takes in a change, newer than every one before it."""
        key = change.key
        versions = self._live.get(key)
        if versions is None:
            versions = self._dead.pop(key, None)
            if versions is None:
                versions = array("q")
            if change.create_revision:
                self._live[key] = versions
        elif not change.create_revision:
            del self._live[key]
        if not change.create_revision:
            self._dead[key] = versions
        if versions or not change.create_revision:
            self._with_history.add(key)
        versions.append(change.id)
        versions.append(change.create_revision)

    def current(self, key: str) -> Version | None:
        versions = self._live.get(key)
        return Version(key, versions[-2], versions[-1]) if versions is not None else None

    def at(self, key: str, revision: int) -> Version | None:
        """The key's version as of that revision, None if it did not exist then."""
        versions = self._live.get(key)
        if versions is None:
            versions = self._dead.get(key)
        return _version_at(key, versions, revision) if versions is not None else None

    def range(self, prefix: str, start: str, limit: int) -> tuple[list[Version], int]:
        """The live keys with the prefix that are >= start, at most `limit` (0: all), and how many there are in all."""
        end = prefix_end(prefix)
        first = self._live.bisect_left(max(prefix, start))
        last = self._live.bisect_left(end) if end else len(self._live)
        stop = min(last, first + limit) if limit else last
        live = self._live
        found = [Version(key, live[key][-2], live[key][-1]) for key in live.islice(first, stop)]
        return found, max(last - first, 0)

    def range_at(self, prefix: str, start: str, limit: int, revision: int) -> tuple[list[Version], int]:
        """The same as of a past revision."""
        found: list[Version] = []
        count = 0
        for key, versions in merge(*(_slice(keys, prefix, start) for keys in (self._live, self._dead))):
            version = _version_at(key, versions, revision)
            if version is not None:
                count += 1
                if not limit or len(found) < limit:
                    found.append(version)
        return found, count

    def with_history(self) -> list[str]:
        """The keys that have versions which compaction may drop."""
        return list(self._with_history)

    def forget(self, keys: Iterable[str], revision: int) -> list[int]:
        """Drops the versions of these keys that nobody reading at `revision` or later needs; returns their ids."""
        dropped: list[int] = []
        for key in keys:
            alive = key in self._live
            versions = self._live[key] if alive else self._dead[key]
            keep = _first_needed(versions, revision)
            dropped += versions[:keep:2]
            del versions[:keep]
            if not versions:
                del self._dead[key]
            if not versions or (alive and len(versions) == 2):
                self._with_history.discard(key)
        return dropped


def prefix_end(prefix: str) -> str:
    """The first text after every text with that prefix; "" if there is none."""
    stem = prefix.rstrip("\U0010ffff")
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else ""


def _slice(keys: SortedDict, prefix: str, start: str) -> Iterator[tuple[str, "array[int]"]]:
    end = prefix_end(prefix)
    for key in keys.irange(max(prefix, start), end or None, inclusive=(True, not end)):
        yield key, keys[key]


def _version_at(key: str, versions: "array[int]", revision: int) -> Version | None:
    for i in range(len(versions) - 2, -1, -2):
        if revision_of(versions[i]) <= revision:
            return Version(key, versions[i], versions[i + 1]) if versions[i + 1] else None
    return None


def _first_needed(versions: "array[int]", revision: int) -> int:
    """Where the versions begin that a reader at `revision` or later can see. A deletion by then is seen by nobody."""
    for i in range(len(versions) - 2, -1, -2):
        if revision_of(versions[i]) <= revision:
            return i if versions[i + 1] else i + 2
    return 0
