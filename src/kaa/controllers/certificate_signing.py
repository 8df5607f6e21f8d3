"""Certificate signing: CertificateSigningRequests that are approved get their certificate.

A signer is a promise about what its certificates may say; a request that would break it is marked Failed, not signed.

    signer                                        whom it is for
    kubernetes.io/kube-apiserver-client           anybody, as a client
    kubernetes.io/kube-apiserver-client-kubelet   a node as a client: system:node:<name> of system:nodes
    kubernetes.io/kubelet-serving                 a node as a server, under DNS names or addresses
    kubernetes.io/legacy-unknown                  anything
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from kaa.api.objects import Object, condition
from kaa.controllers.actions import UpdateStatus
from kaa.controllers.controller import Actions, Controller, View
from kaa.lib.clock import rfc3339

if TYPE_CHECKING:
    from cryptography import x509

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
YEAR_SECONDS = 365 * 24 * 3600
MIN_SECONDS = 600


class Authority(Protocol):
    def sign(self, request_pem: bytes, usages: tuple[str, ...], seconds: int, now: datetime) -> bytes:
        """The certificate, PEM."""
        ...


@dataclass(frozen=True, slots=True)
class Signer:
    required: frozenset[str]  # usages
    allowed: frozenset[str]
    objection: Callable[["x509.CertificateSigningRequest"], str]  # "" if there is none


def no_objection(request: "x509.CertificateSigningRequest") -> str:
    return ""


def node_objection(request: "x509.CertificateSigningRequest") -> str:
    from cryptography.x509 import NameOID

    organizations = [a.value for a in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    names = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if organizations != [NODES_GROUP]:
        return f"subject organization is not {NODES_GROUP}"
    return (
        "" if names and names[0].startswith(NODE_PREFIX) else f"subject common name does not begin with {NODE_PREFIX}"
    )


def alternative_names(request: "x509.CertificateSigningRequest") -> Iterator[object]:
    from cryptography import x509

    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            yield from extension.value


def node_client_objection(request: "x509.CertificateSigningRequest") -> str:
    return node_objection(request) or (
        "subject alternative names are not allowed" if any(alternative_names(request)) else ""
    )


def node_server_objection(request: "x509.CertificateSigningRequest") -> str:
    from cryptography import x509

    names = list(alternative_names(request))
    if not all(isinstance(name, x509.DNSName | x509.IPAddress) for name in names):
        return "only DNS and IP subjectAltNames are allowed"
    return node_objection(request) or ("" if names else "DNS or IP subjectAltName is required")


CLIENT = frozenset({"client auth", "digital signature", "key encipherment"})
SERVER = frozenset({"server auth", "digital signature", "key encipherment"})

SIGNERS = {
    "kubernetes.io/kube-apiserver-client": Signer(frozenset({"client auth"}), CLIENT, no_objection),
    KUBELET_CLIENT: Signer(frozenset({"client auth", "digital signature"}), CLIENT, node_client_objection),
    "kubernetes.io/kubelet-serving": Signer(
        frozenset({"server auth", "digital signature"}), SERVER, node_server_objection
    ),
}
LEGACY = "kubernetes.io/legacy-unknown"


def objection_to(csr: Object) -> str:
    """Why the request does not fit its signer, "" if it does."""
    from cryptography import x509

    signer = SIGNERS.get(csr["spec"]["signerName"])
    if signer is None:
        return ""
    usages = set(csr["spec"].get("usages") or ())
    if not signer.required <= usages <= signer.allowed:
        return f"usages did not match {sorted(signer.allowed)}"
    return signer.objection(x509.load_pem_x509_csr(b64decode(csr["spec"]["request"])))


def has(csr: Object, kind: str) -> bool:
    return condition(csr.get("status", {}).get("conditions"), kind) is not None


def controller(authority: Authority) -> Controller:
    def reconcile(csr: Object, view: View, now: datetime) -> Actions:
        status = csr.get("status", {})
        ours = csr["spec"]["signerName"] in SIGNERS or csr["spec"]["signerName"] == LEGACY
        if (
            not ours
            or status.get("certificate")
            or not has(csr, "Approved")
            or has(csr, "Denied")
            or has(csr, "Failed")
        ):
            return
        if objection := objection_to(csr):
            failed = failed_condition(objection, now)
            yield UpdateStatus(csr, {**status, "conditions": [*(status.get("conditions") or ()), failed]})
            return
        asked = csr["spec"].get("expirationSeconds") or YEAR_SECONDS
        seconds = max(MIN_SECONDS, min(asked, YEAR_SECONDS))
        usages = tuple(csr["spec"].get("usages") or ())
        certificate = authority.sign(b64decode(csr["spec"]["request"]), usages, seconds, now)
        yield UpdateStatus(csr, {**status, "certificate": b64encode(certificate).decode()})

    return Controller(name="csrsigning", kind="CertificateSigningRequest", reconcile=reconcile)


def failed_condition(message: str, now: datetime) -> Object:
    moment = rfc3339(now)
    return {
        "type": "Failed",
        "status": "True",
        "reason": "SignerValidationFailure",
        "message": message,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
    }
