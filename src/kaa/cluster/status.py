"""What runs of a cluster and what it costs, read from /proc."""

from dataclasses import dataclass
from pathlib import Path

from kaa.cluster.node_namespace import init_file
from kaa.cluster.processes import ProcessId
from kaa.cluster.spec import ClusterSpec
from kaa.cluster.supervisor import read_states, supervisor_file


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """`pid` is 0 when it does not run. `memory_bytes` is PSS: shared pages are divided among those that share them."""

    name: str
    state: str  # running, or stopped
    pid: int
    address: str
    memory_bytes: int
    restarts: int
    started_at: str
    log: str


def component_statuses(spec: ClusterSpec) -> list[ComponentStatus]:
    """The supervisor, each component, each node's init."""
    supervisor = ProcessId.load(supervisor_file(spec))
    rows = [_row("supervisor", supervisor, log=str(spec.logs / "supervisor.log"))]
    for state in read_states(spec):
        process = ProcessId(state.pid, state.start_ticks)
        alive = process if state.pid and process.is_alive else None
        rows.append(_row(state.name, alive, state.address, state.restarts, state.started_at, state.log))
    inits = [(node, ProcessId.load(init_file(spec, node))) for node in spec.nodes]
    return rows + [_row(f"{node.name}/init", init, spec.node_address(node)) for node, init in inits]


def _row(
    name: str, process: ProcessId | None, address: str = "", restarts: int = 0, started_at: str = "", log: str = ""
) -> ComponentStatus:
    if process is None:
        return ComponentStatus(name, "stopped", 0, address, 0, restarts, started_at, log)
    return ComponentStatus(name, "running", process.pid, address, pss_bytes(process.pid), restarts, started_at, log)


def pss_bytes(pid: int) -> int:
    """Proportional set size of a process; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
