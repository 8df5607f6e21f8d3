"""Bringing a cluster up and taking it down. Both may be called again at any point, and go on from what they find."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from kaa.api.errors import APIError
from kaa.api.objects import condition, name_of
from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import add_context, kubeconfig_of, load_kubeconfig, remove_context
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.cluster import host_network, logs, node_namespace
from kaa.cluster.certificates import (
    ADMIN,
    CONTROLLER_MANAGER,
    DNS,
    KUBE_PROXY,
    SCHEDULER,
    SIMULATED_NODES,
    ensure_kubeconfig,
    ensure_node_serving,
    ensure_pki,
    node_identity,
)
from kaa.cluster.processes import ProcessId, end
from kaa.cluster.spec import ClusterError, ClusterSpec, check_port
from kaa.cluster.supervisor import component_processes, supervisor_file
from kaa.cri.linux import cgroups
from kaa.lib.clock import Clock

Say = Callable[[str], None]
"""Told each step as it begins, for a person who watches."""

POLL_SECONDS = 0.05
POLL_SECONDS_A_NODE = 0.0005
"""Looking at thousands of nodes costs the server time that they need to become ready."""
LISTED_NODES = 10
SERVER_SECONDS = 60.0
STOP_SECONDS = 20.0


def supervisor_of(spec: ClusterSpec) -> ProcessId | None:
    return ProcessId.load(supervisor_file(spec))


def start(spec: ClusterSpec, clock: Clock, say: Say) -> None:
    """Certificates, kubeconfig, and the supervisor in the background; nothing if it runs already."""
    if supervisor_of(spec) is not None:
        return
    end(component_processes(spec), STOP_SECONDS)  # of a supervisor that was killed: they hold the port
    check_port(spec)
    say("Preparing certificates")
    pki = ensure_pki(spec.data_dir, [spec.host_address, spec.first_service_address], clock)
    _ensure_identities(spec, pki, clock)
    add_context(user_kubeconfig(), kubeconfig_of(spec.context, load_kubeconfig(spec.kubeconfig)))
    say("Starting components")
    spec.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    spec.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(spec.logs / "supervisor.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "kaa.cluster.supervisor", spec.name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            # Two arenas instead of eight a core: threads here wait, they don't allocate (less memory a component).
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        )


def _ensure_identities(spec: ClusterSpec, pki: Path, clock: Clock) -> None:
    """A kubeconfig for a person and one for each component, and each kubelet's serving certificate."""
    ensure_kubeconfig(spec.kubeconfig, pki, ADMIN, spec.server_on_host, spec.context, clock)
    for identity in (CONTROLLER_MANAGER, SCHEDULER):
        path = spec.directory / f"{identity.user.removeprefix('system:kube-')}.kubeconfig"
        ensure_kubeconfig(path, pki, identity, spec.server_on_host, spec.context, clock)
    if spec.simulated_nodes:
        directory = spec.simulated_directory
        ensure_node_serving(pki, directory / "pki", "simulated-nodes", [spec.host_address], clock)
        path = directory / "kubeconfig"
        ensure_kubeconfig(path, pki, SIMULATED_NODES, spec.server_on_host, spec.context, clock)
    for node in spec.nodes:
        directory = spec.node_directory(node)
        ensure_node_serving(pki, directory / "pki", node.name, [spec.node_address(node)], clock)
        for name, identity in (("kubelet", node_identity(node.name)), ("proxy", KUBE_PROXY), ("dns", DNS)):
            path = directory / f"{name}.kubeconfig"
            ensure_kubeconfig(path, pki, identity, spec.server_on_network, spec.context, clock)


def user_kubeconfig() -> Path:
    """Where kubectl looks: the first file of $KUBECONFIG, else ~/.kube/config."""
    first = os.environ.get("KUBECONFIG", "").split(":")[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


def client_of(spec: ClusterSpec) -> Client:
    """A client with the administrator's credentials."""
    return Client(HTTPTransport.from_config(load_kubeconfig(spec.kubeconfig)))


async def wait_for_server(spec: ClusterSpec, client: Client, clock: Clock) -> None:
    """Until the API server says it is ready. Raises ClusterError with the end of the log if it doesn't."""
    deadline = clock.monotonic() + SERVER_SECONDS
    while clock.monotonic() < deadline:
        try:
            response = await client.transport.request("GET", "/readyz", timeout_seconds=5)
            if response.status == 200:
                return
        except TransportError:
            pass
        await clock.sleep(POLL_SECONDS)
        if supervisor_of(spec) is None and clock.monotonic() > deadline - SERVER_SECONDS + 5:
            break
    raise ClusterError(f"the API server did not become ready; its log ends with:\n{_last_lines(spec)}")


async def wait_for_nodes(spec: ClusterSpec, client: Client, clock: Clock, timeout_seconds: float) -> None:
    """Until every node of the spec is Ready. Raises ClusterError naming those that are not, and why."""
    deadline = clock.monotonic() + timeout_seconds
    while True:
        try:
            nodes = {name_of(node): node for node in (await client.list("Node")).items}
        except (APIError, TransportError):
            nodes = {}
        late = {}
        for name in spec.node_names:
            ready = condition(nodes.get(name, {}).get("status", {}).get("conditions"), "Ready")
            if ready is None or ready["status"] != "True":
                late[name] = ready["message"] if ready else "not registered yet"
        if not late:
            return
        if clock.monotonic() > deadline:
            listed = "; ".join(f"{name}: {why}" for name, why in list(late.items())[:LISTED_NODES])
            raise ClusterError(f"not Ready after {timeout_seconds:.0f} s: {listed}; see: kaa logs {next(iter(late))}")
        await clock.sleep(POLL_SECONDS + len(late) * POLL_SECONDS_A_NODE)


def _last_lines(spec: ClusterSpec, count: int = 12) -> str:
    for name in ("apiserver", "supervisor"):
        files = logs.files_of(spec.logs / f"{name}.log")
        lines = files[-1].read_text(errors="replace").splitlines() if files else []
        if lines:
            return "\n".join(lines[-count:])
    return "(no log)"


def stop(spec: ClusterSpec, say: Say) -> None:
    """Ends everything of the cluster that runs, whatever is left of it; `start` goes on from its files."""
    say("Stopping components")
    supervisor = supervisor_of(spec)
    if supervisor is not None:
        end([supervisor], STOP_SECONDS)
    end(component_processes(spec), STOP_SECONDS)
    say("Ending nodes")
    for node in spec.nodes:
        node_namespace.end_init(spec, node)
    groups = cgroups.detect()
    groups.remove(spec.cgroup)
    groups.remove_empty(str(Path(spec.cgroup).parent))
    host_network.remove(spec)


def down(spec: ClusterSpec, say: Say) -> None:
    """Ends and removes everything of the cluster."""
    stop(spec, say)
    say("Removing files")
    remove_context(user_kubeconfig(), spec.context)
    shutil.rmtree(spec.directory)
