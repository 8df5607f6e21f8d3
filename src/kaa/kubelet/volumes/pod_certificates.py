"""podCertificate: a key that never leaves the node, and a certificate for it that a signer gives to this pod.

The kubelet makes the key and a PodCertificateRequest; the signer answers in its status. The pair is kept until the
signer says that it should be renewed; then another is asked for, and the older one stays in place meanwhile. A kubelet
that starts anew asks anew. Bounded by the pods on the node: `forget` with each.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

from kaa.api.objects import Object, condition, name_of, namespace_of, uid_of
from kaa.client.rest import Client
from kaa.kubelet.volumes.volume import Request, VolumeFault
from kaa.lib.clock import Clock, parse_rfc3339

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

KIND = "PodCertificateRequest"

ANSWER_SECONDS, LOOK_SECONDS = 3.0, 0.1
"""How long a pod's start waits for the signer at a time; it is tried again soon."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Both in PEM. From `renew_at` on they should be replaced."""

    key: str
    chain: str
    renew_at: datetime


@dataclass(slots=True)
class _Holding:
    """What the node has for one source of one pod."""

    credentials: Credentials | None = None
    key: str = ""  # of the request that is not answered yet
    request: str = ""  # its name


class PodCertificates:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[str, dict[tuple[str, int], _Holding]] = {}

    async def credentials(self, request: Request, source: Object, number: int) -> Credentials:
        """`number` is the source's place in its volume. Raises VolumeFault while there are none, or APIError."""
        holding = self._held.setdefault(uid_of(request.pod), {}).setdefault((request.name, number), _Holding())
        known = holding.credentials
        if known is not None and self._clock.now() < known.renew_at:
            return known
        if not holding.request:
            holding.key, holding.request = await self._ask(request, source)
        try:
            holding.credentials = await self._answer(request.pod, holding)
        except VolumeFault:
            if known is None:
                raise
            return known
        holding.key = holding.request = ""
        return holding.credentials

    def forget(self, uid: str) -> None:
        self._held.pop(uid, None)

    async def _ask(self, request: Request, source: Object) -> tuple[str, str]:
        """The key in PEM, and the name of the request for its certificate."""
        key, stub = make_key(source["keyType"], self._clock.secrets)
        pod, namespace = request.pod, namespace_of(request.pod)
        account = await self._client.get("ServiceAccount", pod["spec"].get("serviceAccountName", "default"), namespace)
        node = await self._client.get("Node", pod["spec"]["nodeName"])
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
        wanted: Object = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": KIND,
            "metadata": {"generateName": "req-", "namespace": namespace, "ownerReferences": [owner]},
            "spec": {
                "signerName": source["signerName"],
                "podName": name_of(pod),
                "podUID": uid_of(pod),
                "serviceAccountName": name_of(account),
                "serviceAccountUID": uid_of(account),
                "nodeName": name_of(node),
                "nodeUID": uid_of(node),
                "maxExpirationSeconds": source.get("maxExpirationSeconds"),
                "stubPKCS10Request": base64.b64encode(stub).decode(),
                "unverifiedUserAnnotations": source.get("userAnnotations"),
            },
        }
        wanted["spec"] = {field: value for field, value in wanted["spec"].items() if value is not None}
        return key, name_of(await self._client.create(wanted))

    async def _answer(self, pod: Object, holding: _Holding) -> Credentials:
        """Raises VolumeFault when there is none yet, or none will come."""
        name, deadline = holding.request, self._clock.monotonic() + ANSWER_SECONDS
        while True:
            found = await self._client.get(KIND, name, namespace_of(pod))
            status = found.get("status") or {}
            for verdict in ("Denied", "Failed"):
                if refused := condition(status.get("conditions"), verdict):
                    reason, message = refused.get("reason", ""), refused.get("message", "")
                    raise VolumeFault(f"PodCertificateRequest {name} was {verdict.lower()}: {reason}: {message}")
            if status.get("certificateChain"):
                return Credentials(holding.key, status["certificateChain"], parse_rfc3339(status["beginRefreshAt"]))
            if self._clock.monotonic() >= deadline:
                raise VolumeFault(f"PodCertificateRequest {name} is not answered yet")
            await self._clock.sleep(LOOK_SECONDS)


def make_key(key_type: str, rng: Random) -> tuple[str, bytes]:
    """A new private key (PKCS#8, PEM), and a signing request (PKCS#10, DER) that only proves to have it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from kaa.lib.keys import edwards_key, elliptic_key, rsa_key, signed_request

    makers: dict[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
        "RSA3072": lambda: rsa_key(3072, rng),
        "RSA4096": lambda: rsa_key(4096, rng),
        "ECDSAP256": lambda: elliptic_key(ec.SECP256R1(), rng),
        "ECDSAP384": lambda: elliptic_key(ec.SECP384R1(), rng),
        "ECDSAP521": lambda: elliptic_key(ec.SECP521R1(), rng),
        "ED25519": lambda: edwards_key(rng),
    }
    key = makers[key_type]()
    stub = signed_request(x509.CertificateSigningRequestBuilder(x509.Name([])), key)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode(), stub.public_bytes(serialization.Encoding.DER)
