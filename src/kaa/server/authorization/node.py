"""What a kubelet may: its own node, and what the pods bound to it need.

A kubelet is the user `system:node:<name>` in the group `system:nodes`. Most of what it may do is the same for every
node (`system:node`'s rules). Secrets, config maps, claims, volumes, service accounts and their tokens are not: a node
sees those that a pod bound to it refers to, so that a stolen node gives away no more than what ran there.
"""

from collections.abc import Callable, Iterable, Iterator

from kaa.api.objects import Object
from kaa.server.authorization.rules import Rule
from kaa.server.bootstrap.policy import rules
from kaa.server.bootstrap.roles import CLUSTER_ROLES
from kaa.server.chain import Reader
from kaa.server.request import Attributes, User

USER_PREFIX = "system:node:"
GROUP = "system:nodes"
LEASE_NAMESPACE = "kube-node-lease"

READ_ONE = ("get", "list", "watch")
"""A kubelet lists and watches single objects by name."""


def node_of(user: User) -> str:
    """The node that a kubelet's user speaks for, "" for everybody else."""
    return user.name.removeprefix(USER_PREFIX) if user.name.startswith(USER_PREFIX) and GROUP in user.groups else ""


class NodeAuthorizer:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rules = tuple(Rule.of(rule) for rule in rules(CLUSTER_ROLES["system:node"]))
        self._checks: dict[tuple[str, str], Callable[[str, Attributes], str]] = {
            ("", "secrets"): self._referenced,
            ("", "configmaps"): self._referenced,
            ("", "persistentvolumeclaims"): self._referenced,
            ("", "persistentvolumes"): self._volume,
            ("", "serviceaccounts"): self._service_account,
            ("resource.k8s.io", "resourceclaims"): self._referenced,
            ("storage.k8s.io", "volumeattachments"): self._attachment,
            ("storage.k8s.io", "csinodes"): self._own_name,
            ("coordination.k8s.io", "leases"): self._lease,
        }

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        node = node_of(attributes.user)
        if not node:
            return False, ""
        check = self._checks.get((attributes.group, attributes.plural)) if attributes.is_resource else None
        if check is not None and (objection := check(node, attributes)):
            return False, objection
        return any(rule.allows(attributes) for rule in self._rules), ""

    def _pods(self, node: str, namespace: str | None = None) -> list[Object]:
        return self._reader.list("Pod", namespace, {"spec.nodeName": node})

    def _referenced(self, node: str, attributes: Attributes) -> str:
        """Something in a pod's namespace that the pod names."""
        if attributes.verb not in (*READ_ONE, "update", "patch") or not attributes.name:
            return "can only read resources of this type by name"
        wanted = (attributes.plural, attributes.name)
        pods = self._pods(node, attributes.namespace)
        return "" if any(wanted in references(pod) for pod in pods) else _no_relationship(node)

    def _volume(self, node: str, attributes: Attributes) -> str:
        volume = self._reader.get("PersistentVolume", attributes.name) or {}
        claim = volume.get("spec", {}).get("claimRef") or {}
        wanted = ("persistentvolumeclaims", claim.get("name", ""))
        pods = self._pods(node, claim.get("namespace", "")) if claim else ()
        return "" if any(wanted in references(pod) for pod in pods) else _no_relationship(node)

    def _service_account(self, node: str, attributes: Attributes) -> str:
        pods = self._pods(node, attributes.namespace)
        used = any(pod["spec"].get("serviceAccountName") == attributes.name for pod in pods)
        return "" if used and attributes.name else _no_relationship(node)

    def _attachment(self, node: str, attributes: Attributes) -> str:
        attachment = self._reader.get("VolumeAttachment", attributes.name) or {}
        return "" if attachment.get("spec", {}).get("nodeName") == node else _no_relationship(node)

    def _own_name(self, node: str, attributes: Attributes) -> str:
        """An object of the node's name; its name is not known yet when it is created."""
        if attributes.name in (node, "") and (attributes.name or attributes.verb == "create"):
            return ""
        return f"can only access {attributes.plural} with the same name as the requesting node"

    def _lease(self, node: str, attributes: Attributes) -> str:
        if attributes.namespace != LEASE_NAMESPACE:
            return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        return self._own_name(node, attributes)


def _no_relationship(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


def references(pod: Object) -> set[tuple[str, str]]:
    """(plural, name) of all that a pod names in its own namespace and its kubelet has to read."""
    spec = pod["spec"]
    found = {("secrets", secret["name"]) for secret in spec.get("imagePullSecrets") or () if secret.get("name")}
    for volume in spec.get("volumes") or ():
        found |= set(_volume_references(pod, volume))
    for containers in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(containers) or ():
            found |= set(_environment_references(container))
    statuses = pod.get("status", {}).get("resourceClaimStatuses") or ()
    found |= {("resourceclaims", s["resourceClaimName"]) for s in statuses if s.get("resourceClaimName")}
    found |= {
        ("resourceclaims", c["resourceClaimName"])
        for c in spec.get("resourceClaims") or ()
        if c.get("resourceClaimName")
    }
    return found


def _volume_references(pod: Object, volume: Object) -> Iterator[tuple[str, str]]:
    if "secret" in volume:
        yield "secrets", volume["secret"].get("secretName", "")
    if "configMap" in volume:
        yield "configmaps", volume["configMap"].get("name", "")
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"]["claimName"]
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod['metadata']['name']}-{volume['name']}"
    if "csi" in volume:
        yield "secrets", (volume["csi"].get("nodePublishSecretRef") or {}).get("name", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _source_references(source, (("secret", "secrets"), ("configMap", "configmaps")))


def _environment_references(container: Object) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        yield from _source_references(source, (("secretRef", "secrets"), ("configMapRef", "configmaps")))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield from _source_references(source, (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")))


def _source_references(source: Object, fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, plural in fields:
        if name in source:
            yield plural, source[name].get("name", "")
