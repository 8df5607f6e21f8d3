"""Service account tokens for pods, from the TokenRequest API, each kept until it is due for a new one.

A token is renewed when 80 % of its life, or 24 hours, have passed. Bounded by the pods on the node: `forget` with each.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.lib.clock import Clock, parse_rfc3339

RENEW_AT = 0.8
MAX_AGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: datetime
    expires_at: datetime


class TokenSource:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[str, dict[tuple[str, int], _Token]] = {}

    async def token(self, pod: Object, audience: str, expiration_seconds: int) -> str:
        """Bound to the pod: it is void once the pod is gone. Raises APIError, TransportError."""
        meta, known = pod["metadata"], self._tokens.setdefault(pod["metadata"]["uid"], {})
        key, now = (audience, expiration_seconds), self._clock.now()
        if key in known and now < known[key].renew_at:
            return known[key].text
        body: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self._client.create_subresource("ServiceAccount", account, meta["namespace"], "token", body)
        expires_at = parse_rfc3339(answer["status"]["expirationTimestamp"])
        renew_at = now + min((expires_at - now) * RENEW_AT, MAX_AGE)
        known[key] = _Token(answer["status"]["token"], renew_at, expires_at)
        return known[key].text

    def forget(self, uid: str) -> None:
        self._tokens.pop(uid, None)
