"""The apiregistration.k8s.io group: which server answers for a version of a group."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.validation.names import path_segment

V1 = GroupVersion(
    "apiregistration.k8s.io",
    "v1",
    (
        Resource(
            kind="APIService",
            columns=printing.policy.API_SERVICE,
            defaults=defaults.extensions.API_SERVICE,
            validate=validation.api_services.validate_api_service,
            name_rule=path_segment,
            namespaced=False,
            categories=("api-extensions",),
            subresources=(STATUS,),
            has_generation=False,
        ),
    ),
)
