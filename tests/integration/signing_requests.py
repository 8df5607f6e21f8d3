"""Requests for certificates as a kubelet makes them."""

from base64 import b64encode
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@cache
def signing_request(name: str, organization: str = "system:nodes") -> str:
    """As in `spec.request` of a CertificateSigningRequest; its key is thrown away."""
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    key = ec.generate_private_key(ec.SECP256R1())
    return b64encode(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)).decode()
