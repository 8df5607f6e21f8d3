"""Signs certificate requests with the cluster's CA key."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kaa.lib.clock import Clock

if TYPE_CHECKING:  # cryptography is loaded when something is to be signed
    from cryptography import x509

BACKDATE = timedelta(minutes=5)
"""Valid from a little before now: machines' clocks differ."""


class FileAuthority:
    """The authority whose certificate and key are in these files, which are read for each request that is signed."""

    def __init__(self, certificate_file: Path, key_file: Path, clock: Clock) -> None:
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._clock = clock

    def sign(self, request_pem: bytes, usages: tuple[str, ...], seconds: int, now: datetime) -> bytes:
        pair = PairAuthority(self._certificate_file.read_bytes(), self._key_file.read_bytes(), self._clock)
        return pair.sign(request_pem, usages, seconds, now)


class PairAuthority:
    """The authority with this certificate and this ECDSA or RSA key, both PEM."""

    def __init__(self, certificate: bytes, key: bytes, clock: Clock) -> None:
        self._certificate = certificate
        self._key = key
        self._clock = clock

    def sign(self, request_pem: bytes, usages: tuple[str, ...], seconds: int, now: datetime) -> bytes:
        """A certificate (PEM) for the request's key, subject and names, for at most the authority's own time."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.x509.oid import ExtendedKeyUsageOID

        from kaa.lib.keys import signed_certificate

        request = x509.load_pem_x509_csr(request_pem)
        issuer = x509.load_pem_x509_certificate(self._certificate)
        key = serialization.load_pem_private_key(self._key, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
        end = min(now - BACKDATE + timedelta(seconds=seconds), issuer.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(issuer.subject)
            .public_key(request.public_key())
            .serial_number(self._clock.random.getrandbits(158) + 1)
            .not_valid_before(now - BACKDATE)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(usages), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        extended = [getattr(ExtendedKeyUsageOID, EXTENDED[usage]) for usage in usages if usage in EXTENDED]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, critical=extension.critical)
        return signed_certificate(builder, key).public_bytes(serialization.Encoding.PEM)


EXTENDED = {
    "server auth": "SERVER_AUTH",
    "client auth": "CLIENT_AUTH",
    "code signing": "CODE_SIGNING",
    "email protection": "EMAIL_PROTECTION",
    "timestamping": "TIME_STAMPING",
    "ocsp signing": "OCSP_SIGNING",
    "any": "ANY_EXTENDED_KEY_USAGE",
}
PLAIN = {
    "digital_signature": ("digital signature", "signing"),
    "content_commitment": ("content commitment",),
    "key_encipherment": ("key encipherment",),
    "data_encipherment": ("data encipherment",),
    "key_agreement": ("key agreement",),
    "key_cert_sign": ("cert sign",),
    "crl_sign": ("crl sign",),
    "encipher_only": ("encipher only",),
    "decipher_only": ("decipher only",),
}
"""X.509's name of a usage: Kubernetes' names for it."""


def _key_usage(usages: tuple[str, ...]) -> "x509.KeyUsage":
    from cryptography import x509

    flags = {field: any(name in usages for name in names) for field, names in PLAIN.items()}
    if not flags["key_agreement"]:  # the two mean nothing without it
        flags["encipher_only"] = flags["decipher_only"] = False
    return x509.KeyUsage(**flags)
