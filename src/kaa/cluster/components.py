"""The components of a cluster as processes, in the order they are started."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kaa.cluster.agent import AgentOptions, client_from, host_netns_path, run_agent
from kaa.cluster.local_volumes import NodeDirectories
from kaa.cluster.spec import ClusterSpec, NodeSpec
from kaa.cluster.uvloop_runner import run_until_signal
from kaa.controllers import Options as ControllerOptions
from kaa.controllers.certificate_authority import FileAuthority
from kaa.controllers.runtime import run_controller_manager
from kaa.controllers.service_account_token import sign_with
from kaa.lib.clock import WallClock
from kaa.server.main import ServerOptions, run_apiserver

if TYPE_CHECKING:  # only for annotations
    from kaa.scheduler.config.configuration import Configuration


@dataclass(frozen=True, slots=True)
class Component:
    """One process. `run` is called in it, with a descriptor of the host's network namespace if it belongs to a node."""

    name: str
    address: str
    run: Callable[[int], None]
    node: NodeSpec | None = None


def components_of(spec: ClusterSpec) -> list[Component]:
    return [
        Component("apiserver", spec.server_on_host, lambda _: _run_apiserver(spec)),
        Component("controllers", "", lambda _: _run_controllers(spec)),
        *[_agent(spec, node) for node in spec.nodes],
        *([_simulated_nodes(spec)] if spec.simulated_nodes else []),
    ]


def _agent(spec: ClusterSpec, node: NodeSpec) -> Component:
    def run(host_netns: int) -> None:
        options = AgentOptions(spec, node, host_netns_path(host_netns))
        run_until_signal(lambda: run_agent(options, WallClock()))

    return Component(node.name, spec.node_address(node), run, node)


def _simulated_nodes(spec: ClusterSpec) -> Component:
    def run(_: int) -> None:
        from kaa.cluster.simulated_processes import run_simulated_nodes  # few clusters have any

        run_until_signal(lambda: run_simulated_nodes(spec, WallClock()))

    return Component("simulated-nodes", spec.host_address, run)


def _run_apiserver(spec: ClusterSpec) -> None:
    options = ServerOptions(
        data_dir=spec.data_dir,
        secure_port=spec.api_port,
        bind_addresses=("127.0.0.1", spec.host_address),
        advertise_address=spec.host_address,
        service_cidr=spec.service_cidr,
        has_pod_network=bool(spec.nodes),
    )
    run_until_signal(lambda: run_apiserver(options, WallClock()))


def _scheduler_configuration(spec: ClusterSpec) -> "Configuration | None":
    if not spec.scheduler_config.exists():
        return None
    from kaa.scheduler.config.configuration import read_configuration

    return read_configuration(spec.scheduler_config)


def _run_controllers(spec: ClusterSpec) -> None:
    """Controllers and scheduler in one process: both wait most of the time, and share what they have loaded."""
    import asyncio

    from kaa.scheduler.loop import run_scheduler  # numpy: only this process needs it

    pki, clock = spec.data_dir / "pki", WallClock()
    options = ControllerOptions(
        cluster_cidr=spec.pod_cidr,
        root_ca_pem=(pki / "ca.crt").read_text(),
        sign_token=sign_with((pki / "sa.key").read_bytes),
        authority=FileAuthority(pki / "ca.crt", pki / "ca.key", clock),
        local_volumes=lambda node: str(spec.node_volumes(node)),
        local_directories=NodeDirectories(spec),
    )

    async def run() -> None:
        manager = client_from(spec.directory / "controller-manager.kubeconfig", "kube-controller-manager")
        scheduler = client_from(spec.directory / "scheduler.kubeconfig", "kube-scheduler")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run_controller_manager(manager, clock, options=options))
                tasks.create_task(
                    run_scheduler(
                        scheduler, clock, configuration=_scheduler_configuration(spec), socket=spec.scheduler_socket
                    )
                )
        finally:
            await manager.close()
            await scheduler.close()

    run_until_signal(run)
