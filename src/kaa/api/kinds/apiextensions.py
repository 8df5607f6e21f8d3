"""The apiextensions.k8s.io group: kinds that are made at run time."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "apiextensions.k8s.io",
    "v1",
    (
        Resource(
            kind="CustomResourceDefinition",
            columns=printing.policy.CUSTOM_RESOURCE_DEFINITION,
            defaults=defaults.extensions.CUSTOM_RESOURCE_DEFINITION,
            validate=validation.cluster.validate_custom_kind,
            namespaced=False,
            short_names=("crd", "crds"),
            categories=("api-extensions",),
            subresources=(STATUS,),
        ),
    ),
)
