"""The supervisor: starts a cluster's components as processes of their own and starts again those that end.

It has loaded the components' code once and forks; children share those pages. It runs no event loop and no thread,
since a fork copies neither: one `poll` waits for signals, ended processes and the next start that is due.

What runs is written to `run/components.json` at every change, for `kaa status` and for the next supervisor. A
supervisor that finds components of a dead predecessor ends them first; the nodes' inits and containers stay.
"""

import gc
import json
import logging
import os
import select
import signal
import socket
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kaa.cluster import host_network, logs, node_namespace
from kaa.cluster.components import Component, components_of
from kaa.cluster.processes import ProcessId, end
from kaa.cluster.spec import ClusterError, ClusterSpec, load, write_atomically
from kaa.lib import libc
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock, WallClock, rfc3339

log = logging.getLogger("kaa.supervisor")

RESTART = Backoff(initial_seconds=0.2, limit_seconds=30)
STABLE_SECONDS = 60.0
"""A component that ran this long is started again without delay, as if it had never failed."""
STOP_SECONDS = 10.0
"""How long a component gets to end by itself."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
PR_SET_CHILD_SUBREAPER = 36


@dataclass(slots=True)
class _Running:
    """One component's state. `pidfd` is -1 while it does not run; `due` is then the monotonic time to start it."""

    component: Component
    process: ProcessId | None = None
    pidfd: int = -1
    started: float = 0.0
    started_at: str = ""
    due: float = 0.0
    failures: int = 0
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class ComponentState:
    """A row of `components.json`. `pid` is 0 while it waits to be started again."""

    name: str
    pid: int
    start_ticks: int
    address: str
    restarts: int
    started_at: str
    log: str


def supervisor_file(spec: ClusterSpec) -> Path:
    return spec.run / "supervisor.pid"


def read_states(spec: ClusterSpec) -> list[ComponentState]:
    """What the supervisor wrote last; empty if it never ran."""
    try:
        rows = json.loads((spec.run / "components.json").read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [ComponentState(**row) for row in rows]


def component_processes(spec: ClusterSpec) -> list[ProcessId]:
    """The components that are alive, whether or not their supervisor is."""
    named = [ProcessId(state.pid, state.start_ticks) for state in read_states(spec) if state.pid]
    return [process for process in named if process.is_alive]


@dataclass(slots=True)
class Supervisor:
    spec: ClusterSpec
    clock: Clock
    running: list[_Running] = field(default_factory=list)
    stopping: bool = False
    _wakeup_writer: socket.socket = field(init=False)

    def run(self) -> None:
        """Until SIGTERM or SIGINT; then ends the components and returns. The nodes' inits stay: `down` ends them."""
        wakeup = self._catch_signals()
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        end(component_processes(self.spec), STOP_SECONDS)
        host_network.create(self.spec)
        self.running = [_Running(component) for component in components_of(self.spec)]
        gc.collect()
        gc.freeze()  # the children's collections leave these pages alone, so they stay shared
        while not self.stopping:
            self._start_due()
            self._wait(wakeup)
            self._reap()
        log.info("stopping")
        end([r.process for r in self.running if r.process is not None], STOP_SECONDS)
        (self.spec.run / "components.json").unlink(missing_ok=True)

    def _catch_signals(self) -> socket.socket:
        read_end, write_end = socket.socketpair()
        for end_ in (read_end, write_end):
            end_.setblocking(False)
        self._wakeup_writer = write_end
        signal.set_wakeup_fd(write_end.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        return read_end

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self.stopping = True

    def _start_due(self) -> None:
        now = self.clock.monotonic()
        changed = False
        for state in self.running:
            if state.process is None and state.due <= now:
                self._start(state)
                changed = True
        if changed:
            self._write()

    def _start(self, state: _Running) -> None:
        component = state.component
        pid = self._fork_component(component)
        state.process = ProcessId.of(pid)
        state.started = self.clock.monotonic()
        state.started_at = rfc3339(self.clock.now())
        state.pidfd = (state.process.open() if state.process else None) or -1
        log.info("%s started, pid %d", component.name, pid)
        if state.pidfd < 0:
            self._ended(state)

    def _fork_component(self, component: Component) -> int:
        if component.node is not None:
            init = node_namespace.ensure_init(self.spec, component.node)
            host_network.connect(self.spec, component.node, node_namespace.netns_path(init))
            host_netns = os.open("/proc/self/ns/net", os.O_RDONLY)
            os.set_inheritable(host_netns, True)
            try:
                return node_namespace.fork_inside(init, lambda: self._child(component, host_netns))
            finally:
                os.close(host_netns)
        pid = os.fork()
        if pid == 0:
            try:
                self._child(component, -1)
            finally:
                os._exit(1)
        return pid

    def _child(self, component: Component, host_netns: int) -> None:
        """Runs in the forked process and never returns."""
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        node_namespace.set_process_name(f"kaa-{component.name}")
        logs.log_to(self.spec.logs / f"{component.name}.log")
        code = 1
        try:
            component.run(host_netns)
            code = 0
        except ClusterError as error:
            log.error("%s: %s", component.name, error)
        except BaseException:  # the process ends here: what ended it belongs into its log
            log.exception("%s ended", component.name)
        finally:
            logging.shutdown()
            os._exit(code)

    def _wait(self, wakeup: socket.socket) -> None:
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        for state in self.running:
            if state.pidfd >= 0:
                poll.register(state.pidfd, select.POLLIN)
        waiting = [state.due for state in self.running if state.process is None]
        timeout = max(0.0, min(waiting) - self.clock.monotonic()) * 1000 if waiting else None
        poll.poll(timeout)
        try:
            while wakeup.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        """Collects every child that has ended (components, and orphans that came to us as subreaper)."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for state in self.running:
                if state.process is not None and state.process.pid == pid:
                    log.warning("%s (pid %d) ended: %s", state.component.name, pid, _how(status))
        changed = False
        for state in self.running:
            if state.process is not None and not state.process.is_alive:
                self._ended(state)
                changed = True
        if changed:
            self._write()

    def _ended(self, state: _Running) -> None:
        now = self.clock.monotonic()
        state.failures = 1 if now - state.started > STABLE_SECONDS else state.failures + 1
        state.restarts += 1
        state.due = now + RESTART.delay(state.failures)
        state.process = None
        if state.pidfd >= 0:
            os.close(state.pidfd)
            state.pidfd = -1

    def _write(self) -> None:
        rows = [
            ComponentState(
                name=state.component.name,
                pid=state.process.pid if state.process else 0,
                start_ticks=state.process.start_ticks if state.process else 0,
                address=state.component.address,
                restarts=state.restarts,
                started_at=state.started_at,
                log=str(self.spec.logs / f"{state.component.name}.log"),
            )
            for state in self.running
        ]
        write_atomically(self.spec.run / "components.json", json.dumps([asdict(row) for row in rows], indent=2))


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def main(argv: list[str] | None = None) -> int:
    """`python -m kaa.cluster.supervisor NAME`: what `kaa up` starts in the background."""
    (name,) = argv if argv is not None else sys.argv[1:]
    spec = load(name)
    spec.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs.log_to(spec.logs / "supervisor.log")
    node_namespace.set_process_name("kaa-supervisor")
    myself = ProcessId.of(os.getpid())
    assert myself is not None
    myself.save(supervisor_file(spec))
    try:
        Supervisor(spec, WallClock()).run()
    except (ClusterError, OSError) as error:
        log.error("%s", error)
        return 1
    finally:
        supervisor_file(spec).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
