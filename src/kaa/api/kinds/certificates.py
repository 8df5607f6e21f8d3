"""The certificates.k8s.io group."""

from kaa.api.printing import policy
from kaa.api.resource import STATUS, GroupVersion, Resource, Subresource

APPROVAL = Subresource("approval")

V1 = GroupVersion(
    "certificates.k8s.io",
    "v1",
    (
        Resource(
            kind="CertificateSigningRequest",
            columns=policy.CERTIFICATE_SIGNING_REQUEST,
            namespaced=False,
            short_names=("csr",),
            subresources=(APPROVAL, STATUS),
            selectable_fields=("spec.signerName",),
            has_generation=False,
        ),
        Resource(
            kind="ClusterTrustBundle",
            columns=policy.CLUSTER_TRUST_BUNDLE,
            namespaced=False,
            selectable_fields=("spec.signerName",),
            has_generation=False,
        ),
        Resource(
            kind="PodCertificateRequest",
            columns=policy.POD_CERTIFICATE_REQUEST,
            subresources=(STATUS,),
            selectable_fields=("spec.signerName", "spec.podName", "spec.nodeName"),
            has_generation=False,
        ),
    ),
)
