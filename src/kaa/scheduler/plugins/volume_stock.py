"""The storage that the scheduler itself hands out: free volumes by class, and what it has promised but not yet written.

A promise is an object as it will be. It counts until the watch tells of any change of that object, its own included.
"""

from collections.abc import Iterator

from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.volume_binding import class_of, phase_of
from kaa.scheduler.derived import Derived
from kaa.scheduler.plugins.claims import CLAIM, VOLUME
from kaa.scheduler.pod_info import Key
from kaa.scheduler.snapshot import Snapshot, View


class VolumeStock(Derived):
    """Bounded by the volumes that no claim has, and by the pods that are on their way."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._free: dict[str, dict[str, Object]] = {}  # class: name: volume
        self._promised_volumes: dict[str, Object] = {}
        self._promised_claims: dict[Key, Object] = {}
        for volume in view.list(VOLUME):
            self._put(volume)

    def free_volumes(self, storage_class: str) -> Iterator[Object]:
        """Also those that are reserved for some claim."""
        for name, volume in self._free.get(storage_class, {}).items():
            yield self._promised_volumes.get(name, volume)

    def claim(self, name: str, namespace: str) -> Object | None:
        return self._promised_claims.get((namespace, name)) or self._view.get(CLAIM, name, namespace)

    def promise(self, obj: Object) -> None:
        if obj["kind"] == VOLUME:
            self._promised_volumes[name_of(obj)] = obj
        else:
            self._promised_claims[namespace_of(obj), name_of(obj)] = obj

    def take_back(self, obj: Object) -> None:
        """Twice is once."""
        if obj["kind"] == VOLUME:
            self._promised_volumes.pop(name_of(obj), None)
        else:
            self._promised_claims.pop((namespace_of(obj), name_of(obj)), None)

    def object_changed(self, kind: str, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is not None and kind in (CLAIM, VOLUME):
                self.take_back(obj)
        if kind == VOLUME:
            if old is not None:
                self._free.get(class_of(old), {}).pop(name_of(old), None)
            if new is not None:
                self._put(new)

    def _put(self, volume: Object) -> None:
        if phase_of(volume) != "Bound":
            self._free.setdefault(class_of(volume), {})[name_of(volume)] = volume


def stock_of(snapshot: Snapshot) -> VolumeStock:
    return snapshot.derived("VolumeStock", lambda size: VolumeStock(snapshot.view))
