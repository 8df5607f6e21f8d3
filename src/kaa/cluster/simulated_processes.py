"""The process of a cluster's simulated nodes (`kaa up --simulated-nodes`): all of them, whichever kind they are.

All nodes have the host's address on the nodes' network as theirs, which is where this process answers the API server:
with kubelets one port a node from 10250 on, for light nodes that port for all.
"""

import asyncio

from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.client.with_headers import impersonating
from kaa.cluster.agent import client_from
from kaa.cluster.simulation.component import Component
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.light_nodes import LightNodes
from kaa.cluster.simulation.simulated_nodes import NodeSize, Serving, kubelet_options, simulated_node
from kaa.cluster.spec import ClusterSpec
from kaa.kubelet.options import PORT
from kaa.kubelet.server import serve_application
from kaa.lib.clock import Clock

TAINT: Object = {"key": "simulation.kaa.dev/node", "value": "simulated", "effect": "NoSchedule"}
"""Where there are real nodes, too: only what tolerates it comes to simulated ones."""


async def run_simulated_nodes(spec: ClusterSpec, clock: Clock) -> None:
    """Until cancelled."""
    client = client_from(spec.simulated_directory / "kubeconfig", "kubelet")
    taints = (TAINT,) if spec.nodes else ()
    try:
        if spec.simulated_kubelets:
            await _run_kubelets(spec, client, clock, taints)
        else:
            await _run_light(spec, client, clock, taints)
    finally:
        await client.close()


async def _run_kubelets(spec: ClusterSpec, client: Client, clock: Clock, taints: tuple[Object, ...]) -> None:
    images = Images()
    async with asyncio.TaskGroup() as tasks:
        for number, name in enumerate(spec.simulated_names):
            serving = _serving(spec, PORT + number)
            node = simulated_node(name, spec.host_address, images, taints=taints, serving=serving)
            own = Client(impersonating(client.transport, f"system:node:{name}", ("system:nodes",)))

            async def run(node: Component = node, own: Client = own) -> None:
                await node.run(own, clock)

            tasks.create_task(run(), name=node.name)


async def _run_light(spec: ClusterSpec, client: Client, clock: Clock, taints: tuple[Object, ...]) -> None:
    addresses = dict.fromkeys(spec.simulated_names, spec.host_address)
    nodes = LightNodes(client, clock, addresses, Images(), NodeSize(), {}, taints)
    serving = _serving(spec, PORT)
    options = kubelet_options("", spec.host_address, spec.simulated_directory, NodeSize(), {}, (), serving)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(nodes.run(), name="light nodes")
        tasks.create_task(serve_application(nodes.application(authenticated=True), options), name="light kubelet")


def _serving(spec: ClusterSpec, port: int) -> Serving:
    pki = spec.simulated_directory / "pki"
    return Serving(port, pki / "kubelet.crt", pki / "kubelet.key", spec.data_dir / "pki" / "ca.crt")
