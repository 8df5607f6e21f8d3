"""The storagemigration.k8s.io group."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "storagemigration.k8s.io",
    "v1",
    (Resource(kind="StorageVersionMigration", namespaced=False, subresources=(STATUS,), has_generation=False),),
)
