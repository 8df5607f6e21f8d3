"""docs/BENCHMARKS.md: what was measured, beside its limit and what upstream costs.

Upstream's figures are facts: v1.37.2, API server with etcd, on a 2-core machine like ours, the client beside it.
"""

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import api_server, cluster
from bench.target import Cost, Latency

BENCHMARKS = Path(__file__).parents[1] / "docs/BENCHMARKS.md"
SCHEDULER_HEADING = "## Scheduler"
SCALE_HEADING = "## Simulated nodes"
IMPORTED_HEADING = "## The imported cluster"
SEPARATE_HEADINGS = (SCHEDULER_HEADING, SCALE_HEADING, IMPORTED_HEADING)
"""Sections that `make bench-scheduler`, `bench-scale` and `bench-import` write; `make bench` keeps them."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """An operation on the API server. `limit` is what Kaa has set itself, of CPU."""

    name: str
    limit: str
    upstream: str


COSTS = (
    CostRow("GET a pod", "120 us", "358-417 us"),
    CostRow("LIST 5,000 pods", "35 ms", "138 ms"),
    CostRow("LIST one page of 500", "4 ms", "15-20 ms"),
    CostRow("create a pod", "800 us", "1.3-1.5 ms"),
    CostRow("merge-patch a ConfigMap", "500 us", "1.0-1.1 ms"),
    CostRow("apply a ConfigMap", "800 us", "1.2-1.3 ms"),
    CostRow("one event to one of 500 watchers", "12 us", "25-27 us"),
)


@dataclass(frozen=True, slots=True)
class MemoryRow:
    name: str
    unit: str
    limit: str
    upstream: str


MEMORY = (
    MemoryRow("idle", "MB", "", "305 + 42 MB"),
    MemoryRow("10,000 pods stored", "MB", "250 MB", ""),
    MemoryRow("an idle watcher with a service account's token", "KiB", "40 KiB", ""),
    MemoryRow("an idle watcher with a client certificate", "KiB", "40 KiB", ""),
)
UNITS = {"MB": 1e6, "KiB": 1024.0}


@dataclass(frozen=True, slots=True)
class ClusterRow:
    name: str
    value: Callable[[cluster.Found], str]
    upstream: str


CLUSTER = (
    ClusterRow("`kaa up --wait` until the node is Ready", lambda found: f"{found.up_seconds:.2f} s", ""),
    ClusterRow("idle, all processes, PSS", lambda found: f"{found.idle_pss_bytes / 1e6:.0f} MB", "600 MB"),
    ClusterRow("idle, CPU of all components", lambda found: f"{found.idle_cpu_cores * 100:.2f} % of a core", ""),
    ClusterRow("a pod from create to Running, p50", lambda found: f"{found.pod_running.p50 * 1e3:.0f} ms", "480 ms"),
    ClusterRow("the slowest of 10", lambda found: f"{found.pod_running.p99 * 1e3:.0f} ms", ""),
    ClusterRow("a Deployment of 30 pods: all Ready", lambda found: f"{found.deployment_ready_seconds:.2f} s", "3.97 s"),
    ClusterRow("its CPU, all components", lambda found: f"{found.deployment_cpu_seconds:.1f} s", "5.6 s"),
    ClusterRow("it is deleted: all pods gone", lambda found: f"{found.deployment_deleted_seconds:.2f} s", "2.9 s"),
)


def report(
    command: str, date: str, load: tuple[float, float], api: api_server.Found, whole: cluster.Found | None
) -> str:
    """The whole document. `load` is the machine's one-minute load before and after the run."""
    return "\n".join([*_head(command, date, load), *_api_tables(api), *_cluster_table(whole)]) + "\n"


def with_section(document: str, heading: str, section: str) -> str:
    """The document with that section in place of its own, or at its end."""
    before, _, rest = document.partition(f"{heading}\n")
    _, next_heading, after = rest.partition("\n## ")
    return f"{before.rstrip()}\n\n{heading}\n\n{section.strip()}\n" + (f"{next_heading}{after}" if after else "")


def section_of(document: str, heading: str) -> str:
    """What stands under the heading; "" if it is not there."""
    return document.partition(f"{heading}\n")[2].partition("\n## ")[0]


def _head(command: str, date: str, load: tuple[float, float]) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield f"Written by `{command}` on {date}. {machine()}."
    yield f"Load of the machine (one minute) {load[0]:.1f} before the run, {load[1]:.1f} after it: latency suffers when"
    yield "others work beside it, and CPU time by up to a third: caches are shared."
    yield ""
    yield "Upstream is v1.37.2 (API server and etcd), measured on a 2-core machine with the client beside it."
    yield "The client is the same for every server; to measure another one:"
    yield "`python -m bench --kubeconfig FILE --pids PID,PID --output FILE`."


def _api_tables(found: api_server.Found) -> Iterator[str]:
    yield ""
    yield "## API server"
    yield ""
    yield "TLS, client certificate, JSON; one client, one request after the other. CPU is the server's processes',"
    yield "in the cheapest of five rounds; latency is that of all rounds, the client's own work in it."
    yield "Latency of an event: from sending the write until a watcher has it."
    yield ""
    yield "| operation | CPU | limit | upstream, CPU | p50 | p99 |"
    yield "|---|---|---|---|---|---|"
    for row in COSTS:
        cost = found.costs[row.name]
        yield f"| {row.name} | {_cpu(cost)} | {row.limit} | {row.upstream} | {_latency(cost.latency)} |"
    yield ""
    yield "| resident memory | | limit | upstream |"
    yield "|---|---|---|---|"
    for kept in MEMORY:
        size = found.memory[kept.name]
        value = "not known" if size is None else f"{size / UNITS[kept.unit]:.1f} {kept.unit}"
        yield f"| {kept.name} | {value} | {kept.limit} | {kept.upstream} |"


def _cluster_table(found: cluster.Found | None) -> Iterator[str]:
    yield ""
    yield "## A one-node cluster with real containers"
    yield ""
    if found is None:
        yield "Not measured: it needs root, and a cluster of Kaa's own."
        return
    yield "runc and conmon, the image present. CPU of all components: with the programs they run, not the containers."
    yield f"Deployments: the median of {cluster.DEPLOYMENTS_MEASURED}."
    yield ""
    yield "| | Kaa | upstream |"
    yield "|---|---|---|"
    for row in CLUSTER:
        yield f"| {row.name} | {row.value(found)} | {row.upstream} |"


def _cpu(cost: Cost) -> str:
    return "not known" if cost.cpu_seconds is None else _time(cost.cpu_seconds)


def _latency(latency: Latency) -> str:
    return f"{_time(latency.p50)} | {_time(latency.p99)}"


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.{1 if seconds < 1e-4 else 0}f} us"
    return f"{seconds * 1e3:.2f} ms"


def machine() -> str:
    """In one line: cores, memory, kernel, Python."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "CPU"
    )
    cores = sum(line.startswith("processor") for line in _lines("/proc/cpuinfo"))
    memory_gb = int(_lines("/proc/meminfo")[0].split()[1]) / 1e6
    return (
        f"{cores} cores ({model}), {memory_gb:.0f} GB, Linux {platform.release()}, Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
