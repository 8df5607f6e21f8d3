"""Tokens of service accounts: issuing them (TokenRequest), and the documents by which others check them (OIDC).

POST /api/v1/namespaces/<ns>/serviceaccounts/<name>/token   TokenRequest -> a token bound to the account and maybe
                                                            to a pod, secret or node
GET  /.well-known/openid-configuration, /openid/v1/jwks     the issuer's description and its public keys
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson

from kaa.api.errors import APIError, FieldError, bad_request, conflict, invalid, not_found
from kaa.api.objects import Object, copy_object, name_of, namespace_of, uid_of
from kaa.api.resource import Resource
from kaa.lib.clock import Clock, rfc3339
from kaa.lib.jwt import Signer, Verifier
from kaa.server.admission.service_account import TOKEN_SECONDS
from kaa.server.authentication.service_accounts import BINDABLE, ISSUER, user_name
from kaa.server.authorization.node import node_of
from kaa.server.bodies import decode_object
from kaa.server.chain import Reader
from kaa.server.negotiation import plain_encoding, respond
from kaa.server.request import Attributes, Request, Response

TOKEN_REQUEST = Resource(kind="TokenRequest", group="authentication.k8s.io", version="v1")
"""The kind of the body: no row of the catalog, as it is never served by itself."""

DEFAULT_SECONDS = 3600
MIN_SECONDS = 600
MAX_SECONDS = 1 << 32
MAX_ISSUED_SECONDS = 365 * 24 * 3600
"""The longest that a token is really given; asking for more is no error.

A pod's own token (TOKEN_SECONDS) is good for this long too, though it says that it is for an hour: the kubelet renews
it then, and a client that never reads the file again goes on working, as upstream lets it.
"""

DISCOVERY_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"


class TokenRequests:
    """Answers `serviceaccounts/token`."""

    def __init__(self, signer: Signer, reader: Reader, clock: Clock, audiences: Sequence[str]) -> None:
        self._signer = signer
        self._reader = reader
        self._clock = clock
        self._audiences = list(audiences)

    async def handle(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        body = decode_object(request, TOKEN_REQUEST, [])
        check_names(body, attributes)
        answer = self.issue(body, attributes)
        if any(key == "dryRun" for key, _ in request.query):
            answer["status"]["token"] = ""
        return respond(answer, 201, plain_encoding(request))

    def issue(self, body: Object, attributes: Attributes) -> Object:
        """The TokenRequest with its status. Raises NotFound, Invalid, Conflict, Forbidden."""
        account = self._reader.get("ServiceAccount", attributes.name, attributes.namespace)
        if account is None:
            raise not_found("serviceaccounts", "", attributes.name)
        spec = {**(body.get("spec") or {})}
        seconds = spec.get("expirationSeconds")
        seconds = spec["expirationSeconds"] = DEFAULT_SECONDS if seconds is None else seconds
        check_seconds(seconds, attributes.name)
        audiences = spec["audiences"] = spec.get("audiences") or self._audiences
        bound = self._bound_objects(spec.get("boundObjectRef"), attributes)
        now = self._clock.now()
        expires = now + timedelta(seconds=min(seconds, MAX_ISSUED_SECONDS))
        is_pods_own = seconds == TOKEN_SECONDS and bool(bound) and audiences == self._audiences
        valid_until = now + timedelta(seconds=MAX_ISSUED_SECONDS) if is_pods_own else expires
        private = _private_claims(account, bound)
        if is_pods_own:
            private["warnafter"] = int(expires.timestamp())
        claims = {
            "aud": audiences,
            "exp": int(valid_until.timestamp()),
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": self._clock.uuid(),
            "kubernetes.io": private,
            "nbf": int(now.timestamp()),
            "sub": user_name(namespace_of(account), name_of(account)),
        }
        answer = copy_object(body)
        answer.update(apiVersion="authentication.k8s.io/v1", kind="TokenRequest", spec=spec)
        answer["metadata"] = {
            "name": attributes.name,
            "namespace": attributes.namespace,
            "creationTimestamp": rfc3339(now),
        }
        answer["status"] = {"token": self._signer.sign(claims), "expirationTimestamp": rfc3339(expires)}
        return answer

    def _bound_objects(self, reference: Object | None, attributes: Attributes) -> dict[str, Object]:
        """The objects that the token dies with, by claim; a pod brings its node."""
        node = node_of(attributes.user)
        if not reference:
            if node:
                raise _refused(attributes, "node requested token not bound to a pod")
            return {}
        claim, kind = _bindable(reference, attributes.name)
        namespace = "" if kind == "Node" else attributes.namespace
        name, uid = reference.get("name", ""), reference.get("uid", "")
        found = self._reader.get(kind, name, namespace)
        if found is None:
            raise not_found(kind.lower() + "s", "", name)
        if uid and uid != uid_of(found):
            why = f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            raise conflict(kind.lower() + "s", "", name, why + "The object might have been deleted and then recreated")
        if kind == "Pod":
            return self._bound_pod(found, node, attributes)
        if node:
            raise _refused(attributes, "node requested token not bound to a pod")
        return {claim: found}

    def _bound_pod(self, pod: Object, node: str, attributes: Attributes) -> dict[str, Object]:
        if pod["spec"].get("serviceAccountName") != attributes.name:
            raise bad_request(
                f'cannot bind token for serviceaccount "{attributes.name}" to pod running with different'
                f" serviceaccount name."
            )
        host = pod["spec"].get("nodeName", "")
        if node and node != host:
            raise _refused(attributes, "node requested token bound to a pod scheduled on a different node")
        return {"pod": pod, "node": self._reader.get("Node", host) or {}} if host else {"pod": pod}


def _private_claims(account: Object, bound: dict[str, Object]) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "namespace": namespace_of(account),
        "serviceaccount": {"name": name_of(account), "uid": uid_of(account)},
    }
    return claims | {claim: {"name": name_of(obj), "uid": uid_of(obj)} for claim, obj in bound.items() if obj}


def check_names(body: Object, attributes: Attributes) -> None:
    """Name and namespace in the body, if there, are those in the path."""
    metadata = body.get("metadata") or {}
    for field, wanted in (("name", attributes.name), ("namespace", attributes.namespace)):
        given = metadata.get(field)
        if given and given != wanted:
            what = "service account name" if field == "name" else "service account namespace"
            raise bad_request(f"the name of the object ({given}) does not match the {what} ({wanted})")


def check_seconds(seconds: int, name: str) -> None:
    if MIN_SECONDS <= seconds <= MAX_SECONDS:
        return
    why = "may not specify a duration less than 10 minutes"
    if seconds > MAX_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
    error = FieldError("FieldValueInvalid", "spec.expirationSeconds", f"Invalid value: {seconds}: {why}")
    raise invalid("TokenRequest", "authentication.k8s.io", name, [error])


def _bindable(reference: Object, name: str) -> tuple[str, str]:
    kind = reference.get("kind", "")
    for claim, known in BINDABLE.items():
        if kind == known and reference.get("apiVersion", "v1") in ("", "v1"):
            return claim, known
    raise bad_request(f"cannot bind token to object of type {reference.get('apiVersion', '')}, Kind={kind}")


def _refused(attributes: Attributes, why: str) -> APIError:
    message = f'serviceaccounts "{attributes.name}" is forbidden: {why}'
    return APIError("Forbidden", message, name=attributes.name, kind="serviceaccounts")


class IssuerDiscovery:
    """The documents at DISCOVERY_PATH and KEYS_PATH (OpenID Connect Discovery 1.0)."""

    def __init__(self, verifier: Verifier, external_url: str) -> None:
        configuration = {
            "issuer": ISSUER,
            "jwks_uri": f"{external_url}{KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        self._answers = {
            DISCOVERY_PATH: (configuration, "application/json"),
            KEYS_PATH: (verifier.key_set(), "application/jwk-set+json"),
        }

    def answer(self, request: Request) -> Response | None:
        """None for another path."""
        found = self._answers.get(request.path)
        if found is None:
            return None
        document, content_type = found
        return Response(200, orjson.dumps(document), content_type, {"cache-control": "public, max-age=3600"})
