"""Private keys of a generator's numbers, and signatures that need none."""

from datetime import UTC, datetime, timedelta
from random import Random, SystemRandom

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from kaa.cluster.simulation.component_clock import ComponentClock
from kaa.kubelet.volumes.pod_certificates import make_key
from kaa.lib.clock import VirtualClock, WallClock
from kaa.lib.jwt import Signer, Verifier
from kaa.lib.keys import _is_prime, edwards_key, elliptic_key, rsa_key, signed_certificate, signed_request

KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_seed_gives_a_key(key_type: str) -> None:
    """The same key and the same request again, and others with another seed."""
    first = make_key(key_type, Random(3))
    assert first == make_key(key_type, Random(3))
    key, request = make_key(key_type, Random(4))
    assert key != first[0]
    assert request != first[1]
    assert x509.load_der_x509_csr(request).is_signature_valid


@pytest.mark.parametrize("key_type", ["RSA3072", *KEY_TYPES])
def test_the_operating_system_gives_another_key_each_time(key_type: str) -> None:
    """Nothing is kept between two keys that are to be secret."""
    assert make_key(key_type, SystemRandom())[0] != make_key(key_type, SystemRandom())[0]


def test_a_seed_decides_no_key_on_the_wall_clock() -> None:
    """Whoever knows a cluster's seed knows its names, and no private key; on virtual time all is the seed's."""
    one, other = (ComponentClock(WallClock(), 7, "node/a") for _ in range(2))
    assert one.random.random() == other.random.random()
    assert one.secrets.random() != other.secrets.random()
    one, other = (ComponentClock(VirtualClock(seed), 7, "node/a") for seed in (1, 2))
    assert one.secrets.random() == other.secrets.random()


def test_all_of_a_curves_keys_can_come() -> None:
    """From 1 to the order less one: a number that is out of range is drawn again, not wrapped around."""

    class Last(Random):
        def getrandbits(self, k: int) -> int:
            return drawn.pop(0) & (1 << k) - 1

    curve = ec.SECP256R1()
    drawn = [(1 << 256) - 1, curve.group_order - 2]
    assert elliptic_key(curve, Last()).private_numbers().private_value == curve.group_order - 1
    drawn = [0]
    assert elliptic_key(curve, Last()).private_numbers().private_value == 1


@pytest.mark.parametrize("number", [2**127 - 1, 2**521 - 1, 2**255 - 19])
def test_primes(number: int) -> None:
    """Well-known ones are primes; their products are not."""
    assert _is_prime(number)
    assert not _is_prime(number * (2**89 - 1))
    assert not _is_prime(number * number)


def test_a_carmichael_number_is_no_prime() -> None:
    """Fermat's test takes it for one, and it has no small factor."""
    product = 2221 * 4441 * 6661
    assert pow(2, product - 1, product) == 1
    assert not _is_prime(product)


@pytest.mark.parametrize(
    "key", [elliptic_key(ec.SECP256R1(), Random(1)), edwards_key(Random(1)), rsa_key(1024, Random(1))], ids=type
)
def test_what_is_signed_twice_is_the_same(key: CertificateIssuerPrivateKeyTypes) -> None:
    """Requests and certificates, with every kind of key; the signatures are good."""
    requests = [signed_request(x509.CertificateSigningRequestBuilder(NAME), key) for _ in range(2)]
    assert requests[0] == requests[1]
    assert requests[0].is_signature_valid
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    one, other = (signed_certificate(builder, key).public_bytes(serialization.Encoding.DER) for _ in range(2))
    assert one == other
    certificate = x509.load_der_x509_certificate(one)
    certificate.verify_directly_issued_by(certificate)


def test_the_same_claims_are_the_same_token() -> None:
    """A token is put into Secrets and read back by clients: it is part of the history."""
    key = elliptic_key(ec.SECP256R1(), Random(1))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    one, other = (Signer(pem).sign({"sub": "me"}) for _ in range(2))
    assert one == other
    assert Verifier([public]).verify(one) == {"sub": "me"}


def test_a_seed_gives_an_rsa_key() -> None:
    """The same again; and both primes have their upper bits set, so that the product is never a bit short."""
    keys = [rsa_key(1024, Random(seed)) for seed in (1, 1, 2, 3, 4)]
    assert [key.key_size for key in keys] == [1024] * 5
    assert len({key.private_numbers().d for key in keys}) == 4
