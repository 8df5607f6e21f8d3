"""What the simulated nodes' process may do in the cluster: what kubelets do, for all simulated nodes.

With a kubelet a node, each speaks as its node (`system:node:...`), and the node authorizer decides as it does for any:
the process may only impersonate these users. Light nodes have one watch for all of them, which needs a role.
"""

from kaa.api.objects import Object
from kaa.cluster.certificates import SIMULATED_NODES
from kaa.cluster.spec import ClusterSpec

NAME = SIMULATED_NODES.user
GROUP = "rbac.authorization.k8s.io"


def _rule(group: str, resources: list[str], verbs: list[str], names: list[str] | None = None) -> Object:
    rule: Object = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return {**rule, "resourceNames": names} if names else rule


LIGHT_RULES = [
    _rule("", ["nodes"], ["get", "list", "watch", "create"]),
    _rule("", ["pods"], ["get", "list", "watch", "delete"]),
    _rule("", ["nodes/status", "pods/status"], ["patch"]),
    _rule("coordination.k8s.io", ["leases"], ["create", "patch"]),
]


def simulated_node_objects(spec: ClusterSpec) -> list[Object]:
    """A ClusterRole and its binding."""
    role = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME},
        "rules": _impersonation_rules(spec) if spec.simulated_kubelets else LIGHT_RULES,
    }
    binding = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": NAME},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": NAME}],
    }
    return [role, binding]


def _impersonation_rules(spec: ClusterSpec) -> list[Object]:
    users = [f"system:node:{name}" for name in spec.simulated_names]
    return [
        _rule("", ["users"], ["impersonate"], users),
        _rule("", ["groups"], ["impersonate"], ["system:nodes"]),
    ]
