"""Time limits for many short operations, for the price of one timer.

`asyncio.timeout` sets a timer and takes it back each time, though hardly anything ever runs into it. Here one timer
rings for the earliest of all: what is late then is cancelled, and the timer is set for the next.

    with deadlines.within(30.0):
        await answer()          # raises TimeoutError after 30 s of the loop's time
"""

import asyncio
from types import TracebackType


class Deadlines:
    def __init__(self) -> None:
        self._running: dict[Deadline, None] = {}  # in the order in which they began
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> "Deadline":
        return Deadline(self, seconds)

    def close(self) -> None:
        """No timer is left behind. What still runs has no limit any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, deadline: "Deadline") -> None:
        self._running[deadline] = None
        if self._timer is None or self._timer.when() > deadline.at:
            self._ring_at(deadline.at)

    def end(self, deadline: "Deadline") -> None:
        del self._running[deadline]

    def _ring_at(self, at: float) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for deadline in self._running:
            if deadline.at <= now:
                deadline.expire()
        if left := [deadline.at for deadline in self._running if deadline.at > now]:
            self._ring_at(min(left))


class Deadline:
    """One operation's, of the task that enters it."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_seconds", "_task", "at")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.at = 0.0  # of the loop's time, once it is entered
        self._deadlines = deadlines
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> "Deadline":
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self.at = asyncio.get_running_loop().time() + self._seconds
        self._deadlines.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.end(self)
        # Somebody else may have cancelled the task, too: that is not ours to hide.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()
