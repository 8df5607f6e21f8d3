"""Reviews: questions to the server's own authentication and authorization, asked as objects that are never stored.

TokenReview, SelfSubjectReview                              whose token is this; who am I
SubjectAccessReview, LocalSubjectAccessReview               may that user do this (in that namespace)
SelfSubjectAccessReview, SelfSubjectRulesReview             may I do this (`kubectl auth can-i`); what may I do
"""

from collections.abc import Sequence
from typing import Any

from kaa.api.errors import FieldError, bad_request, invalid
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.lib.jwt import InvalidToken
from kaa.server.authentication import Tokens
from kaa.server.authorization.node import node_of
from kaa.server.authorization.rbac import RBACAuthorizer
from kaa.server.bodies import decode_object
from kaa.server.chain import Authorizer, Handler
from kaa.server.negotiation import plain_encoding, respond
from kaa.server.request import Attributes, Request, Response, User

AUTHORIZATION = "authorization.k8s.io"
EITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


class Reviews:
    def __init__(self, tokens: Tokens, authorizer: Authorizer, rbac: RBACAuthorizer, audiences: Sequence[str]) -> None:
        self._tokens = tokens
        self._authorizer = authorizer
        self._rbac = rbac
        self._audiences = tuple(audiences)

    def handlers(self) -> dict[str, Handler]:
        """Kind -> who answers it."""
        return {
            "TokenReview": self.review_token,
            "SelfSubjectReview": self.review_self,
            "SubjectAccessReview": self.review_access,
            "LocalSubjectAccessReview": self.review_local_access,
            "SelfSubjectAccessReview": self.review_own_access,
            "SelfSubjectRulesReview": self.review_own_rules,
        }

    async def review_token(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        review = decode_object(request, resource, [])
        spec = review.get("spec") or {}
        if not spec.get("token"):
            raise bad_request("token is required for TokenReview in authentication")
        try:
            identity = self._tokens.identify(spec["token"], spec.get("audiences") or self._audiences)
        except InvalidToken as wrong:
            return _answer(request, review, resource, {"user": {}, "error": str(wrong)})
        status: Object = {"authenticated": True, "user": user_info(identity.user)}
        status["audiences"] = list(identity.audiences)
        return _answer(request, review, resource, status)

    async def review_self(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        review = decode_object(request, resource, [])
        return _answer(request, review, resource, {"userInfo": user_info(request.user)})

    async def review_access(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        review = decode_object(request, resource, [])
        return _answer(request, review, resource, self._access(_subject(review, resource), review, resource))

    async def review_local_access(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        review = decode_object(request, resource, [])
        asked = ((review.get("spec") or {}).get("resourceAttributes") or {}).get("namespace", "")
        if asked != attributes.namespace:
            why = f'Invalid value: "{asked}": must match metadata.namespace'
            raise _invalid(resource, "spec.resourceAttributes.namespace", why)
        return _answer(request, review, resource, self._access(_subject(review, resource), review, resource))

    async def review_own_access(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        review = decode_object(request, resource, [])
        return _answer(request, review, resource, self._access(request.user, review, resource))

    async def review_own_rules(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        review = decode_object(request, resource, [])
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        rules, errors = self._rbac.rules_for(request.user, namespace)
        status: dict[str, Any] = {
            "resourceRules": [_resource_rule(rule) for rule in rules if rule.get("resources")],
            "nonResourceRules": [
                {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
                for rule in rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": False,
        }
        if node_of(request.user):
            errors = [*errors, "node authorizer does not support user rule resolution"]
        if errors:
            status.update(incomplete=True, evaluationError=", ".join(errors))
        return _answer(request, review, resource, status)

    def _access(self, user: User, review: Object, resource: Resource) -> Object:
        allowed, reason = self._authorizer.authorize(_question(user, review, resource))
        return {"allowed": allowed, "reason": reason} if reason else {"allowed": allowed}


def user_info(user: User) -> Object:
    """authentication/v1 UserInfo; empty fields are left out."""
    fields = {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    return {key: value for key, value in fields.items() if value}


def _subject(review: Object, resource: Resource) -> User:
    """The user that a SubjectAccessReview asks about."""
    spec = review.get("spec") or {}
    if not spec.get("user") and not spec.get("groups"):
        raise _invalid(resource, "spec.user", 'Invalid value: "": at least one of user or group must be specified')
    extra = {key.lower(): tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _question(user: User, review: Object, resource: Resource) -> Attributes:
    spec = review.get("spec") or {}
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (asked is None) == (path is None):
        raise _invalid(resource, "spec.resourceAttributes", f"Invalid value: null: {EITHER}")
    if asked is None:
        path = path or {}
        return Attributes(user, path.get("verb", ""), path=path.get("path", ""))
    return Attributes(
        user,
        asked.get("verb", ""),
        asked.get("group", ""),
        asked.get("version", ""),
        asked.get("resource", ""),
        asked.get("subresource", ""),
        asked.get("namespace", ""),
        asked.get("name", ""),
        is_resource=True,
    )


def _resource_rule(rule: Object) -> Object:
    return {key: rule[key] for key in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(key)}


def _invalid(resource: Resource, field: str, why: str) -> Exception:
    return invalid(resource.kind, resource.group, "", [FieldError("FieldValueInvalid", field, why)])


def _answer(request: Request, review: Object, resource: Resource, status: Object) -> Response:
    review = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": review.get("metadata") or {},
        "spec": review.get("spec") or {},
        "status": status,
    }
    if not review["spec"] and resource.kind == "SelfSubjectReview":
        del review["spec"]
    review["metadata"].setdefault("creationTimestamp", None)
    return respond(review, 201, plain_encoding(request))
