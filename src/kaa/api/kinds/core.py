"""The core group, v1."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "",
    "v1",
    (
        Resource(kind="Namespace", namespaced=False, short_names=("ns",), subresources=(STATUS,)),
        Resource(kind="Node", namespaced=False, short_names=("no",), subresources=(STATUS,)),
        Resource(kind="Pod", short_names=("po",), categories=("all",), subresources=(STATUS,)),
        Resource(kind="Service", short_names=("svc",), categories=("all",), subresources=(STATUS,)),
        Resource(kind="ConfigMap", short_names=("cm",), has_generation=False),
    ),
)
