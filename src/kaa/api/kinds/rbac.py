"""The rbac.authorization.k8s.io group: who may do what."""

from kaa.api import defaults, printing
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "rbac.authorization.k8s.io",
    "v1",
    (
        Resource(
            kind="ClusterRoleBinding",
            columns=printing.policy.ROLE_BINDING,
            defaults=defaults.cluster.ROLE_BINDING,
            namespaced=False,
            has_generation=False,
        ),
        Resource(
            kind="ClusterRole",
            columns=printing.policy.ROLE,
            defaults=defaults.cluster.ROLE,
            namespaced=False,
            has_generation=False,
        ),
        Resource(
            kind="RoleBinding",
            columns=printing.policy.ROLE_BINDING,
            defaults=defaults.cluster.ROLE_BINDING,
            has_generation=False,
        ),
        Resource(kind="Role", columns=printing.policy.ROLE, defaults=defaults.cluster.ROLE, has_generation=False),
    ),
)
