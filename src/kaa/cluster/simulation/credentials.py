"""The keys that a simulated cluster signs with, all in memory.

On the wall clock they are made once for each process, from the operating system's randomness: the cluster may open a
port, and clients rely on its certificates. On a virtual clock no port is ever opened, and the certificate shows in
objects (`kube-root-ca.crt`), so it must be the same whenever the same seed runs: there they are constants, which
everybody knows and nobody trusts.
"""

import hashlib
import threading
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kaa.cluster.certificates import KeyPair, make_authority
from kaa.lib.clock import WallClock

KNOWN_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBXjCCAQOgAwIBAgIBATAKBggqhkjOPQQDAjAVMRMwEQYDVQQDDAprdWJlcm5l
dGVzMCAXDTAwMDEwMTAwMDAwMFoYDzIyMDAwMTAxMDAwMDAwWjAVMRMwEQYDVQQD
DAprdWJlcm5ldGVzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPw7kLPP0Bl+/
ugxXz88ZDTK1I4AGyYi7D83hk5sOmLOmwwafgWwdzguLMoQTA9teoxeTFi/0k3A2
50TVXu54l6NCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAYYwHQYD
VR0OBBYEFKFghFMBgPOv8l4/Q8zl1UIfyAy8MAoGCCqGSM49BAMCA0kAMEYCIQCC
k6GgR+AXs1ACv8IfKza6jRFQpkTF5r+xCezPjJLG+wIhAOiTPwBTzq5yuHwyh3pp
SA9538U7RFWx52Qj0NShs9gt
-----END CERTIFICATE-----
"""
"""Of the key that KNOWN_KEY gives, for "kubernetes", from 2000 to 2200."""

KNOWN_KEY = b"kaa: a simulated cluster's authority"


@dataclass(frozen=True, slots=True)
class Credentials:
    """`token_key` signs service accounts' tokens; all is PEM."""

    authority: KeyPair
    front_proxy: KeyPair
    token_key: bytes
    token_public_key: bytes


_MAKING = threading.Lock()


def process_credentials() -> Credentials:
    """This process's own, made when they are first asked for: once, also by clusters that start in several threads."""
    with _MAKING:
        return _process_credentials()


@cache
def _process_credentials() -> Credentials:
    clock = WallClock()
    key = ec.generate_private_key(ec.SECP256R1())
    return Credentials(
        make_authority("kubernetes", clock.now(), clock.random),
        make_authority("front-proxy-ca", clock.now(), clock.random),
        _private_pem(key),
        _public_pem(key),
    )


@cache
def known_credentials() -> Credentials:
    """The same in every process."""
    key = ec.derive_private_key(int.from_bytes(hashlib.sha256(KNOWN_KEY).digest()), ec.SECP256R1())
    authority = KeyPair(KNOWN_CERTIFICATE, _private_pem(key))
    return Credentials(authority, authority, _private_pem(key), _public_pem(key))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
