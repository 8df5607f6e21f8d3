"""Exponential back-off: how long to wait before the n-th try, and a table of it by key."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """`initial_seconds`, doubled (times `factor`) at each failure, at most `limit_seconds`."""

    initial_seconds: float
    limit_seconds: float
    factor: float = 2.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row; 0 after none."""
        if failures <= 0:
            return 0.0
        # The exponent is bounded so that a very long run of failures cannot overflow a float.
        return min(self.initial_seconds * self.factor ** min(failures - 1, 64), self.limit_seconds)


@dataclass(slots=True)
class BackoffTable(Generic[K]):
    """Failures in a row by key. Holds only keys that have failed since their last success."""

    backoff: Backoff
    failures: dict[K, int] = field(default_factory=dict)

    def failed(self, key: K) -> float:
        """Counts a failure and returns the seconds to wait now."""
        self.failures[key] = self.failures.get(key, 0) + 1
        return self.backoff.delay(self.failures[key])

    def succeeded(self, key: K) -> None:
        self.failures.pop(key, None)
