"""Rules for PodCertificateRequests: for which pod a node asks for a certificate, from which signer, for which key.

A proof of possession beside a bare public key, which upstream has deprecated for the stub request, is not verified,
nor are the certificates in the status.
"""

from base64 import b64decode

from kaa.api.errors import FieldError
from kaa.api.objects import Object
from kaa.api.validation.fields import invalid, required, too_long
from kaa.api.validation.names import LABEL_LENGTH, SUBDOMAIN_LENGTH, dns_label, dns_subdomain, qualified_name
from kaa.api.validation.walker import Errors, immutable

MAX_UID_BYTES = 128
MAX_REQUEST_BYTES = 10 * 1024
MIN_SECONDS = 60 * 60
MAX_SECONDS, MAX_SECONDS_OF_KUBERNETES = 91 * 24 * 60 * 60, 24 * 60 * 60
MAX_SIGNER_BYTES = 2 * (SUBDOMAIN_LENGTH + 1) + LABEL_LENGTH
SIGNER_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
ONE_KEY = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"


def validate_request(request: Object, old: Object | None) -> Errors:
    spec = request.get("spec") or {}
    signer = spec.get("signerName") or ""
    errors = signer_name(signer, "spec.signerName") + user_annotations(spec)
    for who in ("pod", "serviceAccount", "node"):
        name, uid = spec.get(f"{who}Name") or "", spec.get(f"{who}UID") or ""
        errors += [invalid(f"spec.{who}Name", name, problem) for problem in dns_subdomain(name)]
        if not uid:
            errors.append(invalid(f"spec.{who}UID", uid, "must not be empty"))
        if len(uid) > MAX_UID_BYTES:
            errors.append(too_long(f"spec.{who}UID", MAX_UID_BYTES))
    longest = MAX_SECONDS_OF_KUBERNETES if is_of_kubernetes(signer) else MAX_SECONDS
    seconds = spec.get("maxExpirationSeconds") or 0
    if not MIN_SECONDS <= seconds <= longest:
        why = f"must be in the range [{MIN_SECONDS}, {longest}]"
        errors.append(invalid("spec.maxExpirationSeconds", seconds, why))
    return errors + public_key(spec)


def validate_request_update(new: Object, old: Object, subresource: str) -> Errors:
    return immutable(new, old, "spec")


def unshown(path: str, detail: str) -> FieldError:
    """An error about a value that is too long, or not text, to be shown."""
    return FieldError("FieldValueInvalid", path, f"Invalid value: {detail}")


def is_of_kubernetes(signer: str) -> bool:
    host = signer.partition("/")[0]
    return host == "kubernetes.io" or host.endswith(".kubernetes.io")


def signer_name(signer: str, path: str) -> Errors:
    if not signer:
        return [required(path)]
    if signer.count("/") != 1:
        return [invalid(path, signer, SIGNER_FORM)]
    domain, _, name = signer.partition("/")
    errors: Errors = [too_long(path, SUBDOMAIN_LENGTH)] if len(domain) > SUBDOMAIN_LENGTH else []
    for part, rule in ((domain, dns_label), (name, dns_subdomain)):
        # The first label that is wrong is enough.
        label, problems = next(((each, found) for each in part.split(".") if (found := rule(each))), ("", []))
        errors += [invalid(path, part, f'validating label "{label}": {problem}') for problem in problems]
        if part is domain and "." not in domain:
            errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    if len(signer) > MAX_SIGNER_BYTES:
        errors.append(too_long(path, MAX_SIGNER_BYTES))
    return errors


def user_annotations(spec: Object) -> Errors:
    errors: Errors = []
    path = "spec.unverifiedUserAnnotations"
    for key in map(str.lower, spec.get("unverifiedUserAnnotations") or ()):
        problems = list(qualified_name(key))
        if not problems and "/" not in key:
            problems = ['must be a domain-prefixed key (such as "acme.io/foo")']
        errors += [invalid(path, key, problem) for problem in problems]
    return errors


def public_key(spec: Object) -> Errors:
    """The key comes in a certificate request that is signed with it, or beside a proof."""
    stub, bare, proof = (bool(spec.get(field)) for field in ("stubPKCS10Request", "pkixPublicKey", "proofOfPossession"))
    if (stub, bare, proof) not in ((True, False, False), (False, True, True)):
        return [unshown("spec", ONE_KEY)]
    return _stub(b64decode(spec["stubPKCS10Request"])) if stub else []


def _stub(data: bytes) -> Errors:
    from cryptography import x509  # slow to import, and rarely needed

    path = "spec.stubPKCS10Request"
    if len(data) > MAX_REQUEST_BYTES:
        return [too_long(path, MAX_REQUEST_BYTES)]
    try:
        request = x509.load_der_x509_csr(data)
    except ValueError:
        return [unshown(path, "must be a valid PKCS#10 CSR")]
    return [] if request.is_signature_valid else [unshown(path, "invalid signature")]
