"""The admissionregistration.k8s.io group: who else decides about a write."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.validation.walker import validator

EXTENSION = ("api-extensions",)

V1 = GroupVersion(
    "admissionregistration.k8s.io",
    "v1",
    (
        Resource(
            kind="MutatingAdmissionPolicy",
            columns=printing.policy.MUTATING_POLICY,
            validate=validation.policies.validate_mutating_policy,
            defaults=defaults.extensions.MUTATING_POLICY,
            plural="mutatingadmissionpolicies",
            namespaced=False,
            categories=EXTENSION,
        ),
        Resource(
            kind="MutatingAdmissionPolicyBinding",
            columns=printing.policy.POLICY_BINDING,
            validate=validation.policies.validate_mutating_binding,
            defaults=defaults.extensions.POLICY_BINDING,
            namespaced=False,
            categories=EXTENSION,
        ),
        Resource(
            kind="MutatingWebhookConfiguration",
            columns=printing.policy.WEBHOOKS,
            validate=validator(validation.webhooks.WEBHOOK_CONFIGURATION),
            defaults=defaults.extensions.MUTATING_WEBHOOKS,
            namespaced=False,
            categories=EXTENSION,
        ),
        Resource(
            kind="ValidatingAdmissionPolicy",
            columns=printing.policy.VALIDATING_POLICY,
            validate=validation.policies.validate_validating_policy,
            defaults=defaults.extensions.VALIDATING_POLICY,
            plural="validatingadmissionpolicies",
            namespaced=False,
            categories=EXTENSION,
            subresources=(STATUS,),
        ),
        Resource(
            kind="ValidatingAdmissionPolicyBinding",
            columns=printing.policy.POLICY_BINDING,
            validate=validation.policies.validate_validating_binding,
            defaults=defaults.extensions.POLICY_BINDING,
            namespaced=False,
            categories=EXTENSION,
        ),
        Resource(
            kind="ValidatingWebhookConfiguration",
            columns=printing.policy.WEBHOOKS,
            validate=validator(validation.webhooks.WEBHOOK_CONFIGURATION),
            defaults=defaults.extensions.VALIDATING_WEBHOOKS,
            namespaced=False,
            categories=EXTENSION,
        ),
    ),
)
