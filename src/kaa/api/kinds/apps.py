"""The apps group."""

from kaa.api.resource import SCALE, STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "apps",
    "v1",
    (
        Resource(kind="Deployment", short_names=("deploy",), categories=("all",), subresources=(STATUS, SCALE)),
        Resource(kind="ReplicaSet", short_names=("rs",), categories=("all",), subresources=(STATUS, SCALE)),
    ),
)
