"""How many seats a priority level is asked for: by the requests that have them and by those that wait.

A level's demand goes up and down with every request. What is needed of it is little: the most there was since the last
look, and the average and standard deviation over the time between. All three are kept as running sums.
"""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Observation:
    """A level's demand over one period, in seats."""

    high_watermark: int = 0
    average: float = 0.0
    deviation: float = 0.0


class Demand:
    """Time is given by the caller and never goes back; a level's first period begins with its first request."""

    __slots__ = ("_elapsed", "_integral", "_moment", "_peak", "_squares", "seats")

    def __init__(self) -> None:
        self.seats = 0
        self._peak = 0
        self._moment: float | None = None
        self._clear()

    def add(self, seats: int, now: float) -> None:
        """`seats` is negative for a request that has ended, or does not wait any longer."""
        self._pass(now)
        self.seats += seats
        if self.seats > self._peak:
            self._peak = self.seats

    def observe(self, now: float) -> Observation:
        """What there was since the last call. A new period begins, with what is asked for now."""
        self._pass(now)
        average, deviation = float(self.seats), 0.0
        if self._elapsed > 0:
            average = self._integral / self._elapsed
            # Rounding may leave less than nothing where the demand never changed.
            deviation = sqrt(max(0.0, self._squares / self._elapsed - average * average))
        observation = Observation(self._peak, average, deviation)
        self._clear()
        return observation

    def _pass(self, now: float) -> None:
        if self._moment is not None:
            elapsed = now - self._moment
            area = elapsed * self.seats
            self._elapsed += elapsed
            self._integral += area
            self._squares += area * self.seats
        self._moment = now

    def _clear(self) -> None:
        self._peak = self.seats
        self._elapsed = self._integral = self._squares = 0.0
