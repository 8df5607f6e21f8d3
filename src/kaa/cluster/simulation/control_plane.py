"""What runs around a world's API server: its security, the controllers, the scheduler and the nodes.

They are wired as `kaa up` does it. The parts are those of a cluster of processes; what is left out is TLS, because
nobody is in between. Each component loads its modules when it begins: the API answers by then.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kaa.client.rest import Client
from kaa.cluster.addons import STORAGE_CLASS
from kaa.cluster.simulation.component import Component, user_named
from kaa.cluster.simulation.credentials import Credentials
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.kubelet_doors import KubeletDoors
from kaa.lib.clock import Clock
from kaa.server.backends import Kubelets
from kaa.server.chain import SecureBy
from kaa.server.proxy import nowhere
from kaa.server.security import SecurityOptions, secure

if TYPE_CHECKING:
    from kaa.controllers import Options
    from kaa.scheduler.loop import Scheduler

ADDRESS, PORT = "127.0.0.1", 6443
"""What the `kubernetes` Service's endpoint says, whether or not a port is open."""

CLUSTER_CIDR = "10.0.0.0/8"
"""Pods' addresses: room for 65,536 nodes of 256 each. No packet is ever sent to one."""

VOLUMES = "/var/lib/kaa/volumes"
"""Of the default storage class, in the files of a simulated node, which go with it."""


def security_of(credentials: Credentials, kubelets: Kubelets | None = None) -> SecureBy:
    """`kubelets` are those of the simulated nodes."""
    options = SecurityOptions(
        client_ca=credentials.authority.certificate,
        front_proxy_ca=credentials.front_proxy.certificate,
        service_account_key=credentials.token_key,
        service_account_public_keys=(credentials.token_public_key,),
        kubelet_tls=ssl.create_default_context,
        kubelets=kubelets,
        may_reach=nowhere,
        advertise_address=ADDRESS,
        port=PORT,
    )
    return secure(options)


def complete_options(options: "Options | None", credentials: Credentials, clock: Clock) -> "Options":
    """What every cluster's controllers need, where `options` does not say otherwise."""
    from kaa.controllers import Options
    from kaa.controllers.certificate_authority import PairAuthority
    from kaa.controllers.service_account_token import sign_with

    chosen, authority = options or Options(), credentials.authority
    return replace(
        chosen,
        root_ca_pem=chosen.root_ca_pem or authority.certificate.decode(),
        sign_token=chosen.sign_token or sign_with(lambda: credentials.token_key),
        authority=chosen.authority or PairAuthority(authority.certificate, authority.key, clock),
        cluster_cidr=chosen.cluster_cidr or CLUSTER_CIDR,
        local_volumes=chosen.local_volumes or (lambda node: VOLUMES),
    )


def controller_manager(options: "Options | None", credentials: Credentials, identity: str = "") -> Component:
    """All controllers, with the options completed.

    One with an `identity` works only while it holds the lease, so that there can be several.
    """

    async def run(client: Client, clock: Clock) -> None:
        from kaa.controllers.runtime import run_controller_manager

        complete = complete_options(options, credentials, clock)
        await run_controller_manager(client, clock, options=complete, identity=identity)

    name = f"kube-controller-manager/{identity}" if identity else "kube-controller-manager"
    return Component(name, user_named("system:kube-controller-manager"), run, addons=(STORAGE_CLASS,))


def scheduler(started: "Callable[[Scheduler], None]") -> Component:
    """`started` gets each one that is made, also after a restart."""

    async def run(client: Client, clock: Clock) -> None:
        from kaa.scheduler.loop import run_scheduler

        await run_scheduler(client, clock, started=started)

    return Component("kube-scheduler", user_named("system:kube-scheduler"), run)


def nodes(names: Sequence[str], light: bool, images: Images, doors: KubeletDoors) -> list[Component]:
    """`light`: one component for all of them."""
    if light:
        return [_light_nodes(names, images, doors)] if names else []
    return [_node(name, number, images, doors) for number, name in enumerate(names)]


def _node(name: str, number: int, images: Images, doors: KubeletDoors) -> Component:
    async def run(client: Client, clock: Clock) -> None:
        from kaa.cluster.simulation.simulated_nodes import node_address, simulated_node

        await simulated_node(name, node_address(number), images, doors=doors).run(client, clock)

    return Component(f"node/{name}", user_named(f"system:node:{name}", "system:nodes"), run)


def _light_nodes(names: Sequence[str], images: Images, doors: KubeletDoors) -> Component:
    async def run(client: Client, clock: Clock) -> None:
        from kaa.cluster.simulation.light_nodes import light_nodes
        from kaa.cluster.simulation.simulated_nodes import node_address

        addresses = {name: node_address(number) for number, name in enumerate(names)}
        await light_nodes(addresses, images, doors=doors).run(client, clock)

    return Component("simulated-nodes", user_named("kaa:simulated-nodes", "system:masters"), run)
