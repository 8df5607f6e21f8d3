"""Decisions in which foreign plugins have a say: made on a thread of their own, and given up when they take too long.

The event loop goes on meanwhile; the snapshot stands still (`Tracker.held`), and is not written to: what would have to
be tried on it is tried on a copy. So a thread that was given up can do no harm. It is told to end by an exception that
plugins do not catch; one that waits inside a system call sees it when that returns. Code that holds the interpreter's
lock for ever, as only an extension module can, stops all threads: such a plugin must be an extender instead.
"""

import asyncio
import ctypes
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kaa.scheduler.answers import Answers, Ask
from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import Plugin, Rejection
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

T = TypeVar("T")

AT_ONCE_SECONDS = 0.02
"""Most answers come sooner: then the event loop is not left at all."""

MAX_GIVEN_UP = 8
"""Threads that were given up and have not ended yet. With so many, no foreign plugin is asked any more."""


class Hung(Exception):
    """No answer in time, or none to be hoped for."""


class _GivenUp(BaseException):
    """Raised inside a thread that nobody waits for any more."""


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    work: Callable[[], T]
    done: threading.Event = field(default_factory=threading.Event)
    result: T | None = None
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # handed over to who waits
            self.error = error
        self.done.set()


class _Worker:
    """A thread that does one job after the other until it is told to stop."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="foreign-plugins", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            while (job := self.jobs.get()) is not None:
                job.run()
        except _GivenUp:
            pass

    def stop(self) -> None:
        self.jobs.put(None)

    def give_up(self) -> None:
        self.stop()
        ident = self.thread.ident
        if ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(_GivenUp))


class Watch:
    def __init__(self) -> None:
        self._worker: _Worker | None = None
        self._given_up: list[_Worker] = []

    async def call(self, work: Callable[[], T], limit_seconds: float) -> T:
        """What `work` returns or raises. Raises Hung."""
        self._given_up = [worker for worker in self._given_up if worker.thread.is_alive()]
        if len(self._given_up) >= MAX_GIVEN_UP:
            raise Hung
        if self._worker is None:
            self._worker = _Worker()
        job = _Job(work)
        self._worker.jobs.put(job)  # type: ignore[arg-type]  # jobs of any result
        done = False
        try:
            # By the machine's time, also where the clock is virtual: this is about threads.
            done = job.done.wait(AT_ONCE_SECONDS)
            if not done:
                done = await asyncio.get_running_loop().run_in_executor(None, job.done.wait, limit_seconds)
        finally:
            if not done:
                self._worker.give_up()
                self._given_up.append(self._worker)
                self._worker = None
        if not done:
            raise Hung
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # it is there when there is no error

    def close(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


class Noted:
    """Answers as somebody else gives them; `asking` is the plugin that was asked last."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.asking = ""

    def rejections(self, plugin: Plugin, ask: Ask, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        self.asking = plugin.name
        return self._answers.rejections(plugin, ask, pod, snapshot)

    def scores(self, plugin: Plugin, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        self.asking = plugin.name
        return self._answers.scores(plugin, pod, snapshot, rows)
