"""The admissionregistration.k8s.io group: who else decides about a write."""

from kaa.api.resource import STATUS, GroupVersion, Resource

EXTENSION = ("api-extensions",)

V1 = GroupVersion(
    "admissionregistration.k8s.io",
    "v1",
    (
        Resource(
            kind="MutatingAdmissionPolicy",
            plural="mutatingadmissionpolicies",
            namespaced=False,
            categories=EXTENSION,
        ),
        Resource(kind="MutatingAdmissionPolicyBinding", namespaced=False, categories=EXTENSION),
        Resource(kind="MutatingWebhookConfiguration", namespaced=False, categories=EXTENSION),
        Resource(
            kind="ValidatingAdmissionPolicy",
            plural="validatingadmissionpolicies",
            namespaced=False,
            categories=EXTENSION,
            subresources=(STATUS,),
        ),
        Resource(kind="ValidatingAdmissionPolicyBinding", namespaced=False, categories=EXTENSION),
        Resource(kind="ValidatingWebhookConfiguration", namespaced=False, categories=EXTENSION),
    ),
)
