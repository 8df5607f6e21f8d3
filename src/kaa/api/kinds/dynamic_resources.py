"""The resource.k8s.io group: devices, and claims to them."""

from kaa.api import defaults, printing
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "resource.k8s.io",
    "v1",
    (
        Resource(kind="DeviceClass", plural="deviceclasses", namespaced=False),
        Resource(kind="DeviceTaintRule", namespaced=False, subresources=(STATUS,)),
        Resource(
            kind="ResourceClaim",
            columns=printing.cluster.RESOURCE_CLAIM,
            defaults=defaults.extensions.RESOURCE_CLAIM,
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="ResourceClaimTemplate", defaults=defaults.extensions.RESOURCE_CLAIM_TEMPLATE, has_generation=False
        ),
        Resource(
            kind="ResourceSlice",
            columns=printing.cluster.RESOURCE_SLICE,
            namespaced=False,
            selectable_fields=("spec.nodeName", "spec.driver"),
        ),
    ),
)
