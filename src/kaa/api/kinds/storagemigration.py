"""The storagemigration.k8s.io group."""

from kaa.api import validation
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "storagemigration.k8s.io",
    "v1",
    (
        Resource(
            kind="StorageVersionMigration",
            validate=validation.storage_migrations.validate_migration,
            validate_update=validation.storage_migrations.validate_migration_update,
            namespaced=False,
            subresources=(STATUS,),
            has_generation=False,
        ),
    ),
)
