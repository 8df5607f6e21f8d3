"""The events.k8s.io group: the newer form of the core group's Event, stored as that."""

from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion("events.k8s.io", "v1", (Resource(kind="Event", short_names=("ev",), has_generation=False),))
