"""Waiting between tries, and how it is spelled."""

import pytest

from kaa.kubelet.delays import spell


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.00004, "0s"),
        (0.25, "250ms"),
        (1.5, "1.5s"),
        (10, "10s"),
        (80, "1m20s"),
        (300, "5m0s"),
        (3601.5, "1h0m1.5s"),
    ],
)
def test_durations_are_spelled_as_by_go(seconds: float, text: str) -> None:
    """People and tools read them in events: no exponents, and nothing finer than a millisecond."""
    assert spell(seconds) == text
