"""Which certificate requests are approved without a person, and what is asked before."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.scenarios.world import NOW

from kaa.controllers.certificate_approval import approved, is_candidate, review, rights


def request(name: str = "system:node:n1", organization: str = "system:nodes", **spec: Any) -> dict[str, Any]:
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    given = {
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "request": b64encode(pem).decode(),
        "usages": ["digital signature", "client auth"],
        "username": "system:bootstrap:abc",
        "groups": ["system:bootstrappers"],
    }
    return {"metadata": {"name": "csr"}, "spec": {**given, **spec}}


@pytest.mark.parametrize(
    ("csr", "expected"),
    [
        (request(), True),
        (request(name="alice"), False),
        (request(organization="system:masters"), False),
        (request(usages=["server auth", "digital signature"]), False),
        (request(signerName="kubernetes.io/kube-apiserver-client"), False),
        ({**request(), "status": {"conditions": [{"type": "Denied", "status": "True"}]}}, False),
    ],
)
def test_only_nodes_client_requests_are_looked_at(csr: dict[str, Any], expected: bool) -> None:
    """Everything else is for a person to decide."""
    assert is_candidate(csr) is expected


def test_a_node_may_renew_its_own() -> None:
    """With the lesser right; a newcomer, and one who asks for another node, need the right to make nodes."""
    assert [right for right, _ in rights(request())] == ["nodeclient"]
    assert [right for right, _ in rights(request(username="system:node:n1"))] == ["selfnodeclient", "nodeclient"]
    assert [right for right, _ in rights(request(username="system:node:n2"))] == ["nodeclient"]


def test_the_question_is_about_the_requestor() -> None:
    """Not about us, who may approve everything."""
    spec = review(request(), "nodeclient")["spec"]
    assert (spec["user"], spec["groups"]) == ("system:bootstrap:abc", ["system:bootstrappers"])
    assert spec["resourceAttributes"]["subresource"] == "nodeclient"


def test_the_approval_says_why() -> None:
    """kubectl get csr shows it."""
    (condition,) = approved(request(), "because", NOW)["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == ("Approved", "AutoApproved", "because")
