"""Rules for PodCertificateRequests: in the words of a real v1.37 server."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object
from kaa.api.validation import validate
from kaa.api.validation.pod_certificates import ONE_KEY, SIGNER_FORM

RESOURCE = builtin_catalog().named("PodCertificateRequest")


def stub_request() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


STUB = stub_request()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def request(**fields: Any) -> Object:
    whose = {f"{who}{what}": "a" for who in ("pod", "serviceAccount", "node") for what in ("Name", "UID")}
    spec = {"signerName": "a.example/b", **whose, "stubPKCS10Request": text(STUB), **fields}
    return {"metadata": {"name": "r", "namespace": "a"}, "spec": spec}


def problems(new: Object, old: Object | None = None) -> list[str]:
    made = copy_object(new)
    assert RESOURCE.defaults is not None
    RESOURCE.defaults(made)
    return [str(error) for error in validate(RESOURCE, made, old)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"signerName": ""}, ["spec.signerName: Required value"]),
        ({"signerName": "x"}, [f'spec.signerName: Invalid value: "x": {SIGNER_FORM}']),
        (
            {"signerName": "a/b"},
            [
                'spec.signerName: Invalid value: "a": should be a domain with at least two segments separated by dots',
            ],
        ),
        ({"podUID": ""}, ['spec.podUID: Invalid value: "": must not be empty']),
        ({"nodeUID": "x" * 129}, ["spec.nodeUID: Too long: may not be more than 128 bytes"]),
        (
            {"signerName": "kubernetes.io/x", "maxExpirationSeconds": 86401},
            ["spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"],
        ),
        ({"maxExpirationSeconds": 86401}, []),
        (
            {"unverifiedUserAnnotations": {"a": "b", "a.b/c": "d"}},
            [
                'spec.unverifiedUserAnnotations: Invalid value: "a": must be a domain-prefixed key (such as '
                '"acme.io/foo")'
            ],
        ),
        ({"pkixPublicKey": "YWJj"}, [f"spec: Invalid value: {ONE_KEY}"]),
        ({"stubPKCS10Request": "YWJj"}, ["spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR"]),
        (
            {"stubPKCS10Request": text(STUB[:-1] + bytes([STUB[-1] ^ 1]))},
            ["spec.stubPKCS10Request: Invalid value: invalid signature"],
        ),
    ],
)
def test_a_request_says_for_whom_and_for_which_key(fields: Object, expected: list[str]) -> None:
    """A signer trusts what is in the request: it must be whole, and whoever asks must have the key."""
    assert problems(request(**fields)) == expected


def test_a_request_stays_as_it_was_made() -> None:
    """Between the signer's look and its answer nothing may become another pod's."""
    old = request(maxExpirationSeconds=86400)
    assert [problem.split(":")[0] for problem in problems(request(podName="b"), old)] == ["spec"]
