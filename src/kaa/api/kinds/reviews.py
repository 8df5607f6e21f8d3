"""The authentication.k8s.io and authorization.k8s.io groups: questions that are created, answered and never stored."""

from kaa.api.resource import GroupVersion, Resource

CREATE = ("create",)

AUTHENTICATION_V1 = GroupVersion(
    "authentication.k8s.io",
    "v1",
    (
        Resource(kind="SelfSubjectReview", namespaced=False, verbs=CREATE, has_generation=False),
        Resource(kind="TokenReview", namespaced=False, verbs=CREATE, has_generation=False),
    ),
)

AUTHORIZATION_V1 = GroupVersion(
    "authorization.k8s.io",
    "v1",
    (
        Resource(kind="LocalSubjectAccessReview", verbs=CREATE, has_generation=False),
        Resource(kind="SelfSubjectAccessReview", namespaced=False, verbs=CREATE, has_generation=False),
        Resource(kind="SelfSubjectRulesReview", namespaced=False, verbs=CREATE, has_generation=False),
        Resource(kind="SubjectAccessReview", namespaced=False, verbs=CREATE, has_generation=False),
    ),
)
