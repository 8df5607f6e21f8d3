"""The apiregistration.k8s.io group: which server answers for a version of a group."""

from kaa.api.printing import policy
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "apiregistration.k8s.io",
    "v1",
    (
        Resource(
            kind="APIService",
            columns=policy.API_SERVICE,
            namespaced=False,
            categories=("api-extensions",),
            subresources=(STATUS,),
            has_generation=False,
        ),
    ),
)
