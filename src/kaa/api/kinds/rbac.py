"""The rbac.authorization.k8s.io group: who may do what."""

from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "rbac.authorization.k8s.io",
    "v1",
    (
        Resource(kind="ClusterRoleBinding", namespaced=False, has_generation=False),
        Resource(kind="ClusterRole", namespaced=False, has_generation=False),
        Resource(kind="RoleBinding", has_generation=False),
        Resource(kind="Role", has_generation=False),
    ),
)
