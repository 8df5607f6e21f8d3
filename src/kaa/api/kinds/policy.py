"""The policy group."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion("policy", "v1", (Resource(kind="PodDisruptionBudget", short_names=("pdb",), subresources=(STATUS,)),))
