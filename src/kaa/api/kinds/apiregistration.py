"""The apiregistration.k8s.io group: which server answers for a version of a group."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "apiregistration.k8s.io",
    "v1",
    (
        Resource(
            kind="APIService",
            namespaced=False,
            categories=("api-extensions",),
            subresources=(STATUS,),
            has_generation=False,
        ),
    ),
)
