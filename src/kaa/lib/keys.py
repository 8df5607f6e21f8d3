"""Private keys, drawn from a generator, and signatures that depend on nothing but the key and what is signed.

Keys show in objects: a signing request has the public one, a certificate is a signature. Where one seed is to give one
history, both must come of that seed. Where keys are to be secret, the generator is the operating system's: see
`Clock.secrets`. It is the same code for both.
"""

import math
from functools import cache
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from kaa.lib.clock import is_unpredictable

PUBLIC_EXPONENT = 65537

SMALL = 10_000
"""Most numbers have a factor below, which is found at once."""

WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
"""Of numbers that were drawn, and not chosen to deceive, fewer would do."""

SIGNATURE = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
"""RFC 6979: as strong as one with a random number, and it needs none."""


def elliptic_key(curve: ec.EllipticCurve, rng: Random) -> ec.EllipticCurvePrivateKey:
    """All keys of the curve are equally likely: what is out of range is drawn again (FIPS 186-5, A.2.2)."""
    return ec.derive_private_key(rng.randrange(1, curve.group_order), curve)


def edwards_key(rng: Random) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))


def rsa_key(bits: int, rng: Random) -> rsa.RSAPrivateKey:
    """OpenSSL knows best how to make one, and takes no seed: from one we look for the primes (seconds)."""
    if is_unpredictable(rng):
        return rsa.generate_private_key(PUBLIC_EXPONENT, bits)
    p, q = _prime(bits // 2, rng), _prime(bits // 2, rng)
    d = pow(PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(PUBLIC_EXPONENT, p * q)
    by_remainders = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *by_remainders, public).private_key()


def _prime(bits: int, rng: Random) -> int:
    """With both upper bits set, so that the product of two is as long as it should be."""
    while True:
        number = rng.getrandbits(bits) | 3 << (bits - 2) | 1
        if number % PUBLIC_EXPONENT != 1 and _is_prime(number):
            return number


def _is_prime(number: int) -> bool:
    """Miller and Rabin's test, of a large odd number."""
    if any(number % small == 0 for small in _small_primes()):
        return False
    twos = (number - 1 & 1 - number).bit_length() - 1
    odd = number - 1 >> twos
    return all(_is_no_witness(pow(base, odd, number), twos, number) for base in WITNESSES)


@cache
def _small_primes() -> tuple[int, ...]:
    return tuple(n for n in range(3, SMALL, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2)))


def _is_no_witness(power: int, twos: int, number: int) -> bool:
    """Whether the number may still be prime: squared again and again, the power comes to 1 by way of -1 only."""
    if power in (1, number - 1):
        return True
    return any((power := power * power % number) == number - 1 for _ in range(twos - 1))


def signed_request(
    builder: x509.CertificateSigningRequestBuilder, key: CertificateIssuerPrivateKeyTypes
) -> x509.CertificateSigningRequest:
    return builder.sign(key, _digest(key), ecdsa_deterministic=_deterministic(key))


def signed_certificate(builder: x509.CertificateBuilder, key: CertificateIssuerPrivateKeyTypes) -> x509.Certificate:
    return builder.sign(key, _digest(key), ecdsa_deterministic=_deterministic(key))


def _digest(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _deterministic(key: CertificateIssuerPrivateKeyTypes) -> bool | None:
    """The other kinds of keys always sign so, and must not be told to."""
    return True if isinstance(key, ec.EllipticCurvePrivateKey) else None
