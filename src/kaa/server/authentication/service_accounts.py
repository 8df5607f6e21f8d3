"""Service accounts' tokens: what is in one, and whether it still holds.

A *bound* token (TokenRequest) expires, names its audiences, and dies with what it is bound to: the account itself and,
if any, a pod, a node or a secret, each by uid. A *legacy* token lives as long as the Secret of type
`kubernetes.io/service-account-token` that holds it. Signatures are checked once; whether the bound objects still
exist is asked of the cache on every request, so that a deleted pod's token is refused at once.
"""

import hmac
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kaa.api.objects import Object, uid_of
from kaa.lib.clock import Clock, parse_rfc3339
from kaa.lib.jwt import InvalidToken, Verifier, unverified_issuer
from kaa.server.chain import Reader
from kaa.server.request import User

ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
USER_PREFIX = "system:serviceaccount:"
ALL_SERVICE_ACCOUNTS = "system:serviceaccounts"

POD_NAME, POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
NODE_NAME, NODE_UID = "authentication.kubernetes.io/node-name", "authentication.kubernetes.io/node-uid"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

BINDABLE = {"pod": "Pod", "secret": "Secret", "node": "Node"}
"""Claim under `kubernetes.io` -> kind: what a token can be bound to beyond its account."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Whom a token names, and the audiences that both the token and the asker accept."""

    user: User
    audiences: tuple[str, ...]


def user_name(namespace: str, name: str) -> str:
    return f"{USER_PREFIX}{namespace}:{name}"


def groups_of(namespace: str) -> tuple[str, ...]:
    return ALL_SERVICE_ACCOUNTS, f"{ALL_SERVICE_ACCOUNTS}:{namespace}"


class ServiceAccountTokens:
    """Authenticates tokens that this cluster has issued."""

    def __init__(self, verifier: Verifier, reader: Reader, clock: Clock) -> None:
        self._verifier = verifier
        self._reader = reader
        self._clock = clock

    def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        """None for a token that isn't ours. Raises InvalidToken."""
        issuer = unverified_issuer(token)
        if issuer == LEGACY_ISSUER:
            return TokenIdentity(self._legacy(token, self._verifier.verify(token)), tuple(audiences))
        if issuer != ISSUER:
            return None
        claims = self._verifier.verify(token)
        self._check_times(claims)
        accepted = tuple(a for a in _strings(claims.get("aud")) if a in audiences)
        if not accepted:
            raise InvalidToken("token audiences is invalid for the target audiences")
        return TokenIdentity(self._bound(claims), accepted)

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock.now().timestamp()
        if not isinstance(claims.get("exp"), int | float) or now >= claims["exp"]:
            raise InvalidToken("service account token has expired")
        if isinstance(claims.get("nbf"), int | float) and now < claims["nbf"]:
            raise InvalidToken("service account token is not valid yet")

    def _bound(self, claims: dict[str, Any]) -> User:
        private = claims.get("kubernetes.io") or {}
        namespace = private.get("namespace", "")
        account = private.get("serviceaccount") or {}
        self._check_alive("ServiceAccount", account, namespace)
        for claim, kind in BINDABLE.items():
            # A pod's token also names the pod's node, which is information and not a binding.
            if claim in private and not (claim == "node" and "pod" in private):
                self._check_alive(kind, private[claim], "" if kind == "Node" else namespace)
        return User(
            user_name(namespace, account["name"]),
            groups_of(namespace),
            account["uid"],
            _extra(private, claims.get("jti", "")),
        )

    def _legacy(self, token: str, claims: dict[str, Any]) -> User:
        prefix = "kubernetes.io/serviceaccount/"
        namespace = claims.get(prefix + "namespace", "")
        name, uid = claims.get(prefix + "service-account.name", ""), claims.get(prefix + "service-account.uid", "")
        self._check_alive("ServiceAccount", {"name": name, "uid": uid}, namespace)
        secret = self._reader.get("Secret", claims.get(prefix + "secret.name", ""), namespace)
        stored = b64decode((secret or {}).get("data", {}).get("token", ""))
        if not hmac.compare_digest(stored, token.encode()):
            raise InvalidToken("service account token has been invalidated")
        return User(user_name(namespace, name), groups_of(namespace), uid)

    def _check_alive(self, kind: str, reference: dict[str, Any], namespace: str) -> None:
        found = self._reader.get(kind, reference.get("name", ""), namespace)
        if found is None or uid_of(found) != reference.get("uid") or self._is_gone(found):
            raise InvalidToken(f"{kind} that the service account token is bound to is gone")

    def _is_gone(self, obj: Object) -> bool:
        """An object in its grace period still vouches for its token: containers need it to end in good order."""
        deleted_at = obj["metadata"].get("deletionTimestamp")
        return deleted_at is not None and self._clock.now() > parse_rfc3339(deleted_at)


def _extra(private: dict[str, Any], token_id: str) -> dict[str, tuple[str, ...]]:
    pod, node = private.get("pod") or {}, private.get("node") or {}
    values = {
        POD_NAME: pod.get("name"),
        POD_UID: pod.get("uid"),
        NODE_NAME: node.get("name"),
        NODE_UID: node.get("uid"),
        CREDENTIAL_ID: f"JTI={token_id}" if token_id else "",
    }
    return {key: (value,) for key, value in values.items() if value}


def _strings(value: object) -> list[str]:
    """A claim that may be one string or a list of them."""
    if isinstance(value, str):
        return [value]
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
