"""Plugins that are single Python files, loaded again when they change.

A file has either `PLUGIN`, a row, or `make`, a function that makes one of the arguments that the
configuration gives it. A file that changes is loaded again, and the row follows; one that cannot be loaded is reported,
and the last good row stays.

    kaa scheduler --plugin ./spot_instances.py
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from kaa.lib.clock import Clock
from kaa.scheduler.cluster_events import ClusterEvent, Concern, Hint, always
from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import Context, Placement, Plugin, Rejection
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot, View

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How soon a changed file is seen."""


class BadPlugin(Exception):
    """A file or module has no usable plugin. The message is for a person."""


@dataclass(frozen=True, slots=True)
class News:
    """What to tell people of a file that has changed."""

    text: str
    is_good: bool


class PluginFile:
    """`plugin` is the row that a scheduler uses: it does what the file's own row of the moment does."""

    def __init__(self, path: Path, name: str = "", args: Mapping[str, Any] | None = None) -> None:
        """Raises BadConfiguration if the file cannot be loaded. `name` "": the file's row says its name."""
        self.path = path
        self._args = args or {}
        self._stamp = self._stamp_now()
        self._concerns: dict[Concern, Hint] = {}
        try:
            self._row = load(path, self._args)
        except BadPlugin as error:
            raise BadConfiguration(f"plugin file {path}: {error}") from None
        self._set_concerns(self._row)
        self.plugin = Plugin(
            name=name or self._row.name,
            enqueue=self._enqueue,
            pre_reject=self._pre_reject,
            reject=self._reject,
            score=self._score,
            weight=self._row.weight,
            reserve=self._reserve,
            unreserve=self._unreserve,
            permit=self._permit,
            unplaced=self._unplaced,
            pre_bind=self._pre_bind,
            bind=self._bind,
            helped_by=self._concerns,
            reads=self._row.reads,
            optional=self._row.optional,
            indexes=self._row.indexes,
            foreign=True,
            limit_seconds=self._row.limit_seconds,
        )

    def refresh(self) -> News | None:
        """Loads the file again if it has changed. None: nothing happened."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            row = load(self.path, self._args)
        except BadPlugin as error:
            return News(f"plugin file {self.path} could not be loaded, its last good version stays: {error}", False)
        self._row = row
        self._set_concerns(row)
        unseen = sorted(set(row.reads) - set(self.plugin.reads))
        but = f"; it reads {', '.join(unseen)} only after a restart" if unseen else ""
        return News(f"plugin file {self.path} loaded again{but}", True)

    def _set_concerns(self, row: Plugin) -> None:
        self._concerns.clear()
        self._concerns |= {**row.helped_by, ClusterEvent.PLUGIN_CHANGED: always}

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    # What the row does: as the file's row of the moment

    def _enqueue(self, pod: PodInfo, view: View) -> str | None:
        return self._row.enqueue(pod, view) if self._row.enqueue is not None else None

    def _pre_reject(self, pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
        return self._row.pre_reject(pod, snapshot) if self._row.pre_reject is not None else iter(())

    def _reject(self, pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
        return self._row.reject(pod, snapshot) if self._row.reject is not None else iter(())

    def _score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        return self._row.score(pod, snapshot, rows) if self._row.score is not None else None

    def _reserve(self, placement: Placement) -> None:
        if self._row.reserve is not None:
            self._row.reserve(placement)

    def _unreserve(self, placement: Placement) -> None:
        if self._row.unreserve is not None:
            self._row.unreserve(placement)

    def _permit(self, placement: Placement) -> float | None:
        return self._row.permit(placement) if self._row.permit is not None else None

    def _unplaced(self, pod: PodInfo, context: Context) -> None:
        if self._row.unplaced is not None:
            self._row.unplaced(pod, context)

    def _pre_bind(self, placement: Placement) -> Awaitable[None]:
        return self._row.pre_bind(placement) if self._row.pre_bind is not None else _nothing()

    def _bind(self, placement: Placement) -> Awaitable[bool]:
        return self._row.bind(placement) if self._row.bind is not None else _not_bound()


async def _nothing() -> None:
    return None


async def _not_bound() -> bool:
    return False


def load(path: Path, args: Mapping[str, Any]) -> Plugin:
    """The file's row. Nothing else of what it makes is kept, and it is not importable by others."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
        row = module.make(args) if hasattr(module, "make") else getattr(module, "PLUGIN", None)
    except OSError as error:
        raise BadPlugin(error.strerror or str(error)) from None
    except Exception as error:  # somebody else's code
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = error.lineno if isinstance(error, SyntaxError) else where.lineno
        raise BadPlugin(f"line {line}: {type(error).__name__}: {error}") from error
    if not isinstance(row, Plugin):
        raise BadPlugin("it has neither PLUGIN, a kaa.scheduler.framework.Plugin, nor a function `make` that makes one")
    return row


async def follow(files: Sequence[PluginFile], clock: Clock, tell: Callable[[News], None]) -> None:
    """Loads files again as they change, until cancelled."""
    while True:
        await clock.sleep(POLL_SECONDS)
        for file in files:
            if (news := file.refresh()) is not None:
                log.log(logging.INFO if news.is_good else logging.ERROR, news.text)
                tell(news)
