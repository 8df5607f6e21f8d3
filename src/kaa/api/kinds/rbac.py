"""The rbac.authorization.k8s.io group: who may do what."""

from kaa.api.printing import policy
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "rbac.authorization.k8s.io",
    "v1",
    (
        Resource(kind="ClusterRoleBinding", columns=policy.ROLE_BINDING, namespaced=False, has_generation=False),
        Resource(kind="ClusterRole", columns=policy.ROLE, namespaced=False, has_generation=False),
        Resource(kind="RoleBinding", columns=policy.ROLE_BINDING, has_generation=False),
        Resource(kind="Role", columns=policy.ROLE, has_generation=False),
    ),
)
