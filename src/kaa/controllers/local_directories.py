"""The directories of local-path volumes: there as soon as the volume is, removed when it is deleted, and only then.

A volume that is being deleted and has our finalizer still has its directory. That is removed, then the finalizer, and
the volume goes. After a crash in between, the same again: making what is there and removing what is gone are no
failures. Which directory it is follows from the volume's name and node alone, never from the path that it carries,
which anybody may have written.
"""

import logging
from typing import Protocol

from kaa.api.objects import Object, annotations_of, is_being_deleted, name_of
from kaa.api.volume_binding import SELECTED_NODE
from kaa.client.informer import Change
from kaa.controllers.local_path import DIRECTORY_FINALIZER, is_ours
from kaa.controllers.program import Context, work_through
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 2
RETRY = Backoff(initial_seconds=0.5, limit_seconds=60.0)


class Directories(Protocol):
    """Both raise OSError; twice is once."""

    async def make(self, node: str, volume: str) -> None:
        """An empty directory that every container may write to, if there is none."""
        ...

    async def remove(self, node: str, volume: str) -> None:
        """The directory, with all that is in it."""
        ...


class LocalDirectories:
    """The loop."""

    def __init__(self, context: Context, directories: Directories) -> None:
        self._client = context.client
        self._directories = directories
        self._volumes = context.informers.informer("PersistentVolume")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)
        self._failures: BackoffTable[str] = BackoffTable(RETRY)
        self._volumes.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        volume = change.new
        if volume is not None and has_directory(volume) and (change.old is None or is_being_deleted(volume)):
            self._queue.add(name_of(volume))

    async def run(self) -> None:
        """Until cancelled."""
        await self._volumes.wait_synced()
        await work_through(self._queue, self._look, self._failures, WORKERS)

    async def _look(self, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is None or not has_directory(volume):
            return
        act = self._remove if is_being_deleted(volume) else self._make
        try:
            await act(annotations_of(volume).get(SELECTED_NODE, ""), volume)
        except OSError as error:
            log.warning("directory of volume %s: %s", name, error)
            self._queue.add_after(name, self._failures.failed(name))
        else:
            self._failures.succeeded(name)

    async def _make(self, node: str, volume: Object) -> None:
        await self._directories.make(node, name_of(volume))

    async def _remove(self, node: str, volume: Object) -> None:
        await self._directories.remove(node, name_of(volume))
        kept = [f for f in volume["metadata"]["finalizers"] if f != DIRECTORY_FINALIZER]
        await self._client.update({**volume, "metadata": {**volume["metadata"], "finalizers": kept}})


def has_directory(volume: Object) -> bool:
    return is_ours(volume) and DIRECTORY_FINALIZER in (volume["metadata"].get("finalizers") or ())
