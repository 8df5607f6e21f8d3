"""What a ClusterTrustBundle, and what a volume takes from one, may look like."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from kaa.api.validation.projections import POD_CERTIFICATE, TRUST_BUNDLE
from kaa.api.validation.trust_bundles import name_problems, signer_problems, validate_trust_bundle
from kaa.api.validation.walker import compile_rules, errors_of
from kaa.lib import pem

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def certificate(*, ca: bool = True) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


ROOT, OTHER, LEAF = certificate(), certificate(), certificate(ca=False)


def bundle(text: str, name: str = "x", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"trustBundle": text, **spec}}


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (ROOT, []),
        (f"# ours\n{ROOT}and theirs\n{OTHER}", []),
        ("", ["at least one trust anchor must be provided"]),
        (ROOT + OTHER + ROOT, ["duplicate trust anchor (indices [0 2])"]),
        (LEAF, ["entry 0 does not have the CA bit set"]),
        (ROOT + pem.encode(pem.Block("PRIVATE KEY", b"x")), ["entry 1 has bad block type: PRIVATE KEY"]),
        (ROOT.replace("-----\n", "-----\nA: b\n\n", 1), ["entry 0 has PEM block headers"]),
        (pem.encode(pem.Block("CERTIFICATE", b"x")), ["entry 0 does not parse as X.509"]),
    ],
)
def test_only_authorities_are_anchors(text: str, problems: list[str]) -> None:
    """Whoever trusts a bundle trusts all of it. What stands between the blocks is for people."""
    wanted = [f'spec.trustBundle: Invalid value: "<value omitted>": {problem}' for problem in problems]
    assert [str(error) for error in validate_trust_bundle(bundle(text), None)] == wanted


def test_what_was_accepted_stays_so() -> None:
    """A parser that has become stricter must not stop an update of the labels."""
    assert validate_trust_bundle(bundle(LEAF), bundle(LEAF)) == []


@pytest.mark.parametrize(
    ("name", "signer", "good"),
    [
        ("a.b", "", True),
        ("a:b", "", False),
        ("example.com:ca:a.b", "example.com/ca", True),
        ("a", "example.com/ca", False),
        ("example.com:ca:A", "example.com/ca", False),
    ],
)
def test_a_signers_bundles_bear_its_name(name: str, signer: str, good: bool) -> None:
    """Who may write one signer's bundles must not take the names of another's."""
    assert (name_problems(name, signer) == []) == good


def test_a_signer_has_a_domain_and_a_path() -> None:
    """`kubernetes.io/kubelet-serving`, say."""
    assert signer_problems("example.com/a") == []
    assert signer_problems("") == []
    assert all(signer_problems(name) for name in ("example.com", "/a", "example.com/", "A/b"))


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ({"name": "a", "path": "p"}, []),
        ({"signerName": "e.com/a", "path": "p", "labelSelector": {}}, []),
        ({"name": "a", "signerName": "e.com/a", "path": "p"}, ["s"]),
        ({"path": "p"}, ["s"]),
        ({"name": "a", "path": "p", "labelSelector": {}}, ["s.labelSelector"]),
        ({"name": "a", "path": "../p"}, ["s.path"]),
    ],
)
def test_bundles_in_a_volume(source: dict[str, Any], wrong: list[str]) -> None:
    """One by its name, or a signer's by labels."""
    errors: list[Any] = []
    compile_rules(TRUST_BUNDLE)(source, "s", errors)
    assert [error.field for error in errors] == wrong


CERTIFICATE = {"signerName": "e.com/a", "keyType": "ED25519", "keyPath": "key"}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"maxExpirationSeconds": 3600}, []),
        ({"maxExpirationSeconds": 3599}, ["if provided, maxExpirationSeconds must be >= 3600"]),
        ({"maxExpirationSeconds": 7862401}, ["if provided, maxExpirationSeconds must be <= 7862400"]),
        (
            {"maxExpirationSeconds": 86401, "signerName": "kubernetes.io/a"},
            ["if provided, maxExpirationSeconds must be <= 86400"],
        ),
        ({"keyPath": ""}, ["specify at least one of credentialBundlePath, keyPath, and certificateChainPath"]),
        ({"keyType": "DSA"}, ["supported values"]),
    ],
)
def test_certificates_in_a_volume(change: dict[str, Any], wrong: list[str]) -> None:
    """Between an hour and 91 days; Kubernetes' own signers give a day at most."""
    found = [str(e) for e in errors_of(compile_rules({"c": POD_CERTIFICATE}, root=True), {"c": CERTIFICATE | change})]
    assert len(found) == len(wrong)
    assert all(text in error for text, error in zip(wrong, found, strict=True))


def test_pem_reads_what_it_has_written() -> None:
    """Lines of 64 characters; broken blocks are passed over."""
    block = pem.Block("THING", bytes(range(100)))
    text = pem.encode(block)
    assert max(map(len, text.splitlines())) == 64
    assert list(pem.blocks("-----BEGIN X-----\n!\n-----END X-----\n" + text.replace("\n", "\r\n"))) == [block]
