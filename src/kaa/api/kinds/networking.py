"""The networking.k8s.io group."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.validation.names import canonical_ip_address
from kaa.api.validation.walker import unchanged, validator

V1 = GroupVersion(
    "networking.k8s.io",
    "v1",
    (
        Resource(
            kind="IngressClass",
            columns=printing.network.INGRESS_CLASS,
            defaults=defaults.network.INGRESS_CLASS,
            validate=validator(validation.network.INGRESS_CLASS),
            validate_update=unchanged("spec.controller"),
            plural="ingressclasses",
            namespaced=False,
        ),
        Resource(
            kind="Ingress",
            columns=printing.network.INGRESS,
            defaults=defaults.network.INGRESS,
            validate=validator(validation.network.INGRESS),
            plural="ingresses",
            short_names=("ing",),
            subresources=(STATUS,),
        ),
        Resource(
            kind="IPAddress",
            columns=printing.network.IP_ADDRESS,
            name_rule=canonical_ip_address,
            has_generation=False,
            defaults=defaults.network.IP_ADDRESS,
            validate=validator(validation.network.IP_ADDRESS),
            validate_update=unchanged("spec.parentRef"),
            plural="ipaddresses",
            namespaced=False,
            short_names=("ip",),
        ),
        Resource(
            kind="NetworkPolicy",
            columns=printing.network.NETWORK_POLICY,
            defaults=defaults.network.NETWORK_POLICY,
            validate=validator(validation.network.NETWORK_POLICY),
            plural="networkpolicies",
            short_names=("netpol",),
        ),
        Resource(
            kind="ServiceCIDR",
            columns=printing.network.SERVICE_CIDR,
            has_generation=False,
            defaults=defaults.network.SERVICE_CIDR,
            validate=validator(validation.network.SERVICE_CIDR),
            validate_update=validation.network.validate_service_cidr_update,
            namespaced=False,
            subresources=(STATUS,),
        ),
    ),
)
