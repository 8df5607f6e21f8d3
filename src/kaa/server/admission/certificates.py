"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may say yes to which signer.

And, what upstream does in the kind's own storage: a request says who has made it.

A signer is a name as `kubernetes.io/kubelet-serving`. Approving and signing a request need the verb `approve` or
`sign` on that signer (or on `<domain>/*`), beyond the right to write the request itself.
"""

from base64 import b64decode

from cryptography import x509

from kaa.api.objects import Object
from kaa.server.admission.plugin import UPDATE, Context, Plugin, created, refused, spec_of
from kaa.server.authorization import MASTERS
from kaa.server.request import AdmissionRequest, Attributes

GROUP = "certificates.k8s.io"
CSR = frozenset({(GROUP, "CertificateSigningRequest")})
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


async def note_requestor(request: AdmissionRequest, context: Context) -> None:
    """Approvers decide by who asked: that is not for the request itself to say."""
    spec, user = spec_of(request), request.attributes.user
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
    extra = {key: list(values) for key, values in user.extra.items()}
    facts = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
    spec.update({field: value for field, value in facts.items() if value})


async def check_approval(request: AdmissionRequest, context: Context) -> None:
    _check_signer(request, context, "approve")


async def check_signing(request: AdmissionRequest, context: Context) -> None:
    """Only a change of what a signer writes needs the right to sign."""
    new, old = _status(created(request)), _status(request.old or {})
    if new.get("certificate") != old.get("certificate") or _failed(new) != _failed(old):
        _check_signer(request, context, "sign")


def _status(request: Object) -> Object:
    status: Object = request.get("status") or {}
    return status


def _failed(status: Object) -> list[Object]:
    return [c for c in status.get("conditions") or () if c.get("type") == "Failed"]


def _check_signer(request: AdmissionRequest, context: Context, verb: str) -> None:
    signer = str((request.old or created(request))["spec"]["signerName"])
    names = (signer, signer.split("/", 1)[0] + "/*")
    user = request.attributes.user
    questions = (Attributes(user, verb, GROUP, "*", "signers", name=name, is_resource=True) for name in names)
    if not any(context.authorizer.authorize(question)[0] for question in questions):
        raise refused(request, f'user not permitted to {verb} requests with signerName "{signer}"')


async def check_subject(request: AdmissionRequest, context: Context) -> None:
    """Nobody gets a client certificate that may do everything by asking for one."""
    spec = spec_of(request)
    if spec.get("signerName") == CLIENT_SIGNER and MASTERS in _organizations(spec.get("request", "")):
        raise refused(
            request,
            f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed",
        )


def _organizations(request_base64: str) -> list[str]:
    """The organizations in a PEM certificate request; none in one that validation refuses anyway."""
    try:
        csr = x509.load_pem_x509_csr(b64decode(request_base64))
    except ValueError:
        return []
    names = csr.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return [str(name.value) for name in names]


CERTIFICATES = (
    Plugin(name="CertificateRequestor", kinds=CSR, mutate=note_requestor),
    Plugin(
        name="CertificateApproval",
        kinds=CSR,
        operations=frozenset({UPDATE}),
        subresources=frozenset({"approval"}),
        validate=check_approval,
    ),
    Plugin(
        name="CertificateSigning",
        kinds=CSR,
        operations=frozenset({UPDATE}),
        subresources=frozenset({"status"}),
        validate=check_signing,
    ),
    Plugin(name="CertificateSubjectRestriction", kinds=CSR, validate=check_subject),
)
