"""What the server fills in for the author of an object, before it is validated and stored.

`apply_defaults` makes of a fresh object what `kubectl get -o yaml` shows after it was created, except for what needs
the cluster's state (addresses, service accounts, priorities), which admission and the registry add.
"""

from kaa.api.defaults import cluster, extensions, network, pods, storage, workloads
from kaa.api.objects import Object
from kaa.api.resource import Resource

__all__ = ["apply_defaults", "cluster", "extensions", "network", "pods", "storage", "workloads"]


def apply_defaults(resource: Resource, obj: Object) -> None:
    """Fills defaults in place; twice is the same as once. The schema has been checked: fields have the right types."""
    if resource.defaults is not None:
        resource.defaults(obj)
