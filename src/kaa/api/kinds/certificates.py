"""The certificates.k8s.io group."""

from kaa.api.resource import STATUS, GroupVersion, Resource, Subresource

APPROVAL = Subresource("approval")

V1 = GroupVersion(
    "certificates.k8s.io",
    "v1",
    (
        Resource(
            kind="CertificateSigningRequest",
            namespaced=False,
            short_names=("csr",),
            subresources=(APPROVAL, STATUS),
            selectable_fields=("spec.signerName",),
            has_generation=False,
        ),
        Resource(
            kind="ClusterTrustBundle",
            namespaced=False,
            selectable_fields=("spec.signerName",),
            has_generation=False,
        ),
        Resource(
            kind="PodCertificateRequest",
            subresources=(STATUS,),
            selectable_fields=("spec.signerName", "spec.podName", "spec.nodeName"),
            has_generation=False,
        ),
    ),
)
