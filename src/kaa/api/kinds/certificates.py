"""The certificates.k8s.io group."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource, Subresource
from kaa.api.validation.names import path_segment

APPROVAL = Subresource("approval")

V1 = GroupVersion(
    "certificates.k8s.io",
    "v1",
    (
        Resource(
            kind="CertificateSigningRequest",
            columns=printing.policy.CERTIFICATE_SIGNING_REQUEST,
            defaults=defaults.cluster.CERTIFICATE_SIGNING_REQUEST,
            validate=validation.cluster.validate_certificate_request,
            validate_update=validation.cluster.validate_certificate_request_update,
            namespaced=False,
            short_names=("csr",),
            subresources=(APPROVAL, STATUS),
            selectable_fields=("spec.signerName",),
            has_generation=False,
        ),
        Resource(
            kind="ClusterTrustBundle",
            columns=printing.policy.CLUSTER_TRUST_BUNDLE,
            name_rule=path_segment,
            validate=validation.trust_bundles.validate_trust_bundle,
            validate_update=validation.trust_bundles.validate_trust_bundle_update,
            namespaced=False,
            selectable_fields=("spec.signerName",),
            has_generation=False,
        ),
        Resource(
            kind="PodCertificateRequest",
            columns=printing.policy.POD_CERTIFICATE_REQUEST,
            defaults=defaults.cluster.POD_CERTIFICATE_REQUEST,
            validate=validation.pod_certificates.validate_request,
            validate_update=validation.pod_certificates.validate_request_update,
            subresources=(STATUS,),
            selectable_fields=("spec.signerName", "spec.podName", "spec.nodeName"),
            has_generation=False,
        ),
    ),
)
