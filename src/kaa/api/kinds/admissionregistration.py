"""The admissionregistration.k8s.io group: who else decides about a write."""

from kaa.api.printing import policy
from kaa.api.resource import STATUS, GroupVersion, Resource

EXTENSION = ("api-extensions",)

V1 = GroupVersion(
    "admissionregistration.k8s.io",
    "v1",
    (
        Resource(
            kind="MutatingAdmissionPolicy",
            columns=policy.MUTATING_POLICY,
            plural="mutatingadmissionpolicies",
            namespaced=False,
            categories=EXTENSION,
        ),
        Resource(
            kind="MutatingAdmissionPolicyBinding", columns=policy.POLICY_BINDING, namespaced=False, categories=EXTENSION
        ),
        Resource(kind="MutatingWebhookConfiguration", columns=policy.WEBHOOKS, namespaced=False, categories=EXTENSION),
        Resource(
            kind="ValidatingAdmissionPolicy",
            columns=policy.VALIDATING_POLICY,
            plural="validatingadmissionpolicies",
            namespaced=False,
            categories=EXTENSION,
            subresources=(STATUS,),
        ),
        Resource(
            kind="ValidatingAdmissionPolicyBinding",
            columns=policy.POLICY_BINDING,
            namespaced=False,
            categories=EXTENSION,
        ),
        Resource(
            kind="ValidatingWebhookConfiguration", columns=policy.WEBHOOKS, namespaced=False, categories=EXTENSION
        ),
    ),
)
