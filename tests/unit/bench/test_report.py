"""docs/BENCHMARKS.md: that every row finds what was measured for it."""

from bench import api_server, cluster
from bench.report import COSTS, MEMORY, report
from bench.target import Cost, Latency


def test_every_row_is_filled():
    """A row whose name is not that of a measurement would end a run of minutes with an error."""
    latency = Latency.of([0.001 * n for n in range(1, 101)])
    api = api_server.Found({row.name: Cost(0.00012, latency) for row in COSTS}, {row.name: 1e6 for row in MEMORY})
    whole = cluster.Found(1.5, 140_000_000, 0.01, latency, 1.7, 2.0, 0.8)
    text = report("make bench", "2030-01-01", (0.1, 1.2), api, whole)
    assert "| GET a pod | 120 us | 120 us | 358-417 us | 51.00 ms | 100.00 ms |" in text
    assert "| idle, all processes, PSS | 140 MB | 600 MB |" in text


def test_what_is_not_known_is_said():
    """A server whose processes are elsewhere has latency alone, and no cluster of ours."""
    latency = Latency(0.001, 0.002)
    api = api_server.Found({row.name: Cost(None, latency) for row in COSTS}, {row.name: None for row in MEMORY})
    text = report("python -m bench", "2030-01-01", (0.1, 1.2), api, None)
    assert "| GET a pod | not known | 120 us | 358-417 us | 1.00 ms | 2.00 ms |" in text
    assert "Not measured" in text
