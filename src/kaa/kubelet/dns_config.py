"""A pod's resolver: servers, search domains and options by its dnsPolicy. Pure.

ClusterFirst asks the cluster's DNS and searches the pod's namespace first; Default takes the node's own resolver;
None takes only dnsConfig. dnsConfig is added to each.
"""

from dataclasses import dataclass

from kaa.api.objects import Object
from kaa.cri.cri import Message
from kaa.kubelet.pod_spec import uses_host_network

MAX_NAMESERVERS, MAX_SEARCHES = 3, 32
"""What libc's resolver looks at; more is cut off."""
CLUSTER_OPTIONS = ("ndots:5",)


@dataclass(frozen=True, slots=True)
class Resolver:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolver:
    servers, searches, options = [], [], []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        match words:
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search", *domains]:
                searches = domains
            case ["options", *given]:
                options += given
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def dns_config(pod: Object, node: Resolver, cluster_servers: tuple[str, ...], cluster_domain: str) -> Message:
    """CRI's DNSConfig."""
    base = _base(pod, node, cluster_servers, cluster_domain)
    extra = pod["spec"].get("dnsConfig") or {}
    options = {option.partition(":")[0]: option for option in base.options}
    for option in extra.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return {
        "servers": _unique((*base.servers, *(extra.get("nameservers") or ())))[:MAX_NAMESERVERS],
        "searches": _unique((*base.searches, *(extra.get("searches") or ())))[:MAX_SEARCHES],
        "options": list(options.values()),
    }


def _base(pod: Object, node: Resolver, cluster_servers: tuple[str, ...], domain: str) -> Resolver:
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "None":
        return Resolver()
    if policy == "ClusterFirst" and uses_host_network(pod):
        policy = "Default"
    if policy == "Default" or not cluster_servers:
        # An empty list of servers would make the runtime take its own: say localhost, which answers nothing.
        return node if node.servers else Resolver(("127.0.0.1",), (".",))
    namespace = pod["metadata"]["namespace"]
    searches = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
    return Resolver(cluster_servers, (*searches, *(s for s in node.searches if s != ".")), CLUSTER_OPTIONS)


def _unique(items: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(items))
