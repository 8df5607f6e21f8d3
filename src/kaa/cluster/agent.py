"""The node agent: kubelet, container runtime, service proxy and DNS of one node, in one process.

It runs inside the node's namespaces. The parts meet as they would apart: the kubelet knows the runtime only as CRI, and
all know the cluster only through the API, each with its own identity.
"""

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import load_kubeconfig
from kaa.client.rest import Client
from kaa.client.view import Informers
from kaa.cluster.image_service import image_application
from kaa.cluster.spec import CLUSTER_DOMAIN, ClusterSpec, NodeSpec
from kaa.cri.linux.namespaces import in_namespace
from kaa.cri.runtime import RuntimeConfig, open_runtime
from kaa.kubelet.loop import Kubelet
from kaa.kubelet.options import KubeletOptions
from kaa.lib.clock import Clock
from kaa.network.dns_server import DNSOptions, DNSServer, nameservers
from kaa.network.nftables import NodeAddresses
from kaa.network.pod_network import RoutedPodNetwork
from kaa.network.proxy import ProxyOptions, ServiceProxy
from kaa.network.routes import NodeRoutes


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """Everything the agent of one node is told. `host_netns_path` is the way images and DNS questions take."""

    spec: ClusterSpec
    node: NodeSpec
    host_netns_path: str

    @property
    def directory(self) -> Path:
        return self.spec.node_directory(self.node)

    @property
    def address(self) -> str:
        return self.spec.node_address(self.node)


def client_from(kubeconfig: Path, component: str) -> Client:
    """A client for one component, as the kubeconfig's user and under the component's name."""
    return Client(HTTPTransport.from_config(load_kubeconfig(kubeconfig), component))


async def run_agent(options: AgentOptions, clock: Clock) -> None:
    """Until cancelled. Containers and service rules stay when it ends."""
    directory = options.directory
    pod_network = RoutedPodNetwork(directory / "network")
    await pod_network.restore()
    config = RuntimeConfig(
        directory / "runtime",
        host_netns_path=options.host_netns_path,
        registry_mirrors=options.spec.registry_mirrors,
    )
    runtime, images = open_runtime(config, pod_network, clock, set_pod_range=pod_network.set_range)
    components = {"kubelet": "kubelet", "proxy": "kube-proxy", "dns": "kube-dns"}
    clients = [client_from(directory / f"{name}.kubeconfig", component) for name, component in components.items()]
    kubelet_client, proxy_client, dns_client = clients
    kubelet = Kubelet(kubelet_client, runtime, images, clock, _kubelet_options(options))
    informers = Informers(proxy_client, clock)
    proxy = ServiceProxy(informers, clock, ProxyOptions(options.node.name, _addresses(options)))
    routes = NodeRoutes(informers, options.node.name, options.address, options.host_netns_path)
    dns_informers = Informers(dns_client, clock)
    dns = DNSServer(dns_informers, clock, _dns_options(options))
    image_door = web.AppRunner(image_application(images), access_log=None)
    await image_door.setup()
    try:
        socket_path = options.spec.agent_socket(options.node)
        socket_path.unlink(missing_ok=True)
        await web.UnixSite(image_door, str(socket_path)).start()
        async with asyncio.TaskGroup() as tasks:
            for part in (runtime, kubelet, informers, proxy, routes, dns_informers, dns):
                tasks.create_task(part.run(), name=type(part).__name__)
    finally:
        await image_door.cleanup()
        for client in clients:
            await client.close()


def _kubelet_options(options: AgentOptions) -> KubeletOptions:
    pki = options.directory / "pki"
    return KubeletOptions(
        node_name=options.node.name,
        node_ip=options.address,
        root_dir=options.directory / "kubelet",
        cluster_dns=(options.spec.dns_address,),
        cluster_domain=CLUSTER_DOMAIN,
        serving_cert=pki / "kubelet.crt",
        serving_key=pki / "kubelet.key",
        client_ca=options.spec.data_dir / "pki" / "ca.crt",
        cgroup_root=options.spec.node_cgroup(options.node),
    )


def _addresses(options: AgentOptions) -> NodeAddresses:
    spec = options.spec
    return NodeAddresses(spec.pod_cidr, spec.service_cidr, (options.address,), (spec.network,))


def _dns_options(options: AgentOptions) -> DNSOptions:
    resolvers = () if options.spec.isolated else nameservers(Path("/etc/resolv.conf").read_text())

    async def outside_socket(kind: int) -> socket.socket:
        # A socket stays in the namespace of the thread that made it, whoever uses it later.
        return await in_namespace(options.host_netns_path, lambda: socket.socket(socket.AF_INET, kind))

    return DNSOptions(CLUSTER_DOMAIN, (options.address,), upstreams=resolvers, outside_socket=outside_socket)


def host_netns_path(fd: int) -> str:
    """The path of an open namespace, good for this process and its children in the same /proc."""
    return f"/proc/{os.getpid()}/fd/{fd}"
