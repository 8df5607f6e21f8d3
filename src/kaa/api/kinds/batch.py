"""The batch group: work that ends."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "batch",
    "v1",
    (
        Resource(kind="CronJob", short_names=("cj",), categories=("all",), subresources=(STATUS,)),
        Resource(kind="Job", categories=("all",), subresources=(STATUS,), selectable_fields=("status.successful",)),
    ),
)
