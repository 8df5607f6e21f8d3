"""The /etc/hosts that the kubelet keeps for a pod, and the pod's host name. Pure."""

from collections.abc import Iterable

from kaa.api.objects import Object, name_of

HOSTNAME_MAX_LENGTH = 63

_POD_HEADER = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network).\n"


def hostname(pod: Object) -> str:
    """The pod's host name: its own, else its name cut to what a host name may be."""
    own = pod["spec"].get("hostnameOverride") or pod["spec"].get("hostname")
    return own or name_of(pod)[:HOSTNAME_MAX_LENGTH].rstrip("-.")


def domain(pod: Object, cluster_domain: str) -> str:
    """`subdomain.namespace.svc.domain` for a pod with a subdomain, else ""."""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain or pod["spec"].get("hostnameOverride"):
        return ""
    return f"{subdomain}.{pod['metadata']['namespace']}.svc.{cluster_domain}"


def hosts_file(pod: Object, ips: Iterable[str], cluster_domain: str) -> str:
    """For a pod with a network of its own."""
    name, full = hostname(pod), domain(pod, cluster_domain)
    own = f"{name}.{full}\t{name}" if full else name
    return _POD_HEADER + "".join(f"{ip}\t{own}\n" for ip in ips) + _aliases(pod)


def host_network_hosts_file(pod: Object, node_file: str) -> str:
    """The node's own file with the pod's aliases."""
    return _HOST_NETWORK_HEADER + node_file + _aliases(pod)


def _aliases(pod: Object) -> str:
    aliases = pod["spec"].get("hostAliases") or []
    if not aliases:
        return ""
    lines = [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) + "\n" for alias in aliases]
    return "\n# Entries added by HostAliases.\n" + "".join(lines)
