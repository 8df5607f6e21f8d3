"""Rules for ClusterTrustBundles: the certificates of authorities that a signer, or anybody, wants to be trusted.

A bundle of a signer is named after it (`example.com/ca` -> `example.com:ca:<name>`), so that who may write one signer's
bundles cannot take the names of another's.
"""

from kaa.api.objects import Object
from kaa.api.validation.fields import invalid, too_long
from kaa.api.validation.names import dns_subdomain
from kaa.api.validation.walker import Errors, immutable
from kaa.lib import pem

MAX_BYTES = 1024 * 1024
OMITTED = "<value omitted>"


def validate_trust_bundle(bundle: Object, old: Object | None) -> Errors:
    spec = bundle.get("spec") or {}
    name, signer = bundle["metadata"].get("name", ""), spec.get("signerName", "")
    errors = [invalid("metadata.name", name, problem) for problem in name_problems(name, signer)]
    errors += [invalid("spec.signerName", signer, problem) for problem in signer_problems(signer)]
    text = spec.get("trustBundle", "")
    # What was accepted once stays so, whatever a later parser thinks of it.
    return errors if old is not None and (old.get("spec") or {}).get("trustBundle") == text else errors + _anchors(text)


def validate_trust_bundle_update(new: Object, old: Object, subresource: str) -> Errors:
    return immutable(new, old, "spec.signerName")


def name_problems(name: str, signer: str) -> list[str]:
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return dns_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return dns_subdomain(name.removeprefix(prefix))


def signer_problems(signer: str) -> list[str]:
    domain, slash, path = signer.partition("/")
    if not signer or (slash and path and not dns_subdomain(domain)):
        return []
    return ["must be a fully qualified domain and path of the form 'example.com/signer-name'"]


def _anchors(text: str) -> Errors:
    path = "spec.trustBundle"
    if len(text.encode()) > MAX_BYTES:
        return [too_long(path, MAX_BYTES)]
    problems: list[str] = []
    places: dict[bytes, list[int]] = {}
    for place, block in enumerate(pem.blocks(text)):
        if problem := _problem_of(block):
            problems.append(f"entry {place} {problem}")
        else:
            places.setdefault(block.data, []).append(place)
    if not problems:
        twice = (places_of_one for places_of_one in places.values() if len(places_of_one) > 1)
        problems = [f"duplicate trust anchor (indices [{' '.join(map(str, same))}])" for same in twice]
        problems += [] if places else ["at least one trust anchor must be provided"]
    return [invalid(path, OMITTED, problem) for problem in problems]


def _problem_of(block: pem.Block) -> str:
    from cryptography import x509  # slow to import, and rarely needed

    if block.type != "CERTIFICATE":
        return f"has bad block type: {block.type}"
    if block.has_headers:
        return "has PEM block headers"
    try:
        certificate = x509.load_der_x509_certificate(block.data)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "does not have the CA bit set"
    except ValueError:
        return "does not parse as X.509"
    return "" if constraints.ca else "does not have the CA bit set"
