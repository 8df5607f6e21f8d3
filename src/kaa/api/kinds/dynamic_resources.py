"""The resource.k8s.io group: devices, and claims to them."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.validation.walker import unchanged, validator

V1 = GroupVersion(
    "resource.k8s.io",
    "v1",
    (
        Resource(
            kind="DeviceClass",
            plural="deviceclasses",
            defaults=defaults.extensions.DEVICE_CLASS,
            validate=validator(validation.device_claims.CLASS),
            namespaced=False,
        ),
        Resource(kind="DeviceTaintRule", namespaced=False, subresources=(STATUS,)),
        Resource(
            kind="ResourceClaim",
            columns=printing.cluster.RESOURCE_CLAIM,
            defaults=defaults.extensions.RESOURCE_CLAIM,
            validate=validator(validation.device_claims.CLAIM),
            validate_update=validation.device_claims.validate_claim_update,
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="ResourceClaimTemplate",
            defaults=defaults.extensions.RESOURCE_CLAIM_TEMPLATE,
            validate=validator(validation.device_claims.CLAIM_TEMPLATE),
            validate_update=unchanged("spec"),
            has_generation=False,
        ),
        Resource(
            kind="ResourceSlice",
            columns=printing.cluster.RESOURCE_SLICE,
            defaults=defaults.extensions.RESOURCE_SLICE,
            validate=validator(validation.device_slices.SLICE),
            validate_update=unchanged("spec.pool.name", "spec.driver", "spec.nodeName"),
            namespaced=False,
            selectable_fields=("spec.nodeName", "spec.driver"),
        ),
    ),
)
