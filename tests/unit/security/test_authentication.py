"""Who asks: certificates, tokens, the front proxy, and what wrong credentials lead to."""

from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_pem_x509_certificate

from kaa.api.errors import APIError
from kaa.cluster import certificates
from kaa.cluster.certificates import Identity, KeyPair
from kaa.lib.clock import VIRTUAL_EPOCH
from kaa.lib.jwt import InvalidToken, Signer, Verifier, unverified_issuer
from kaa.server.authentication import Authentication, BearerTokens, Tokens
from kaa.server.authentication.certificates import Authority, ClientCertificates, FrontProxy
from kaa.server.authentication.service_accounts import ISSUER, ServiceAccountTokens
from kaa.server.authentication.static_tokens import BootstrapTokens, TokenFile
from kaa.server.request import Attributes, Request, User
from kaa.server.tokens import TokenRequests

AUTHORITY = certificates.make_authority("kubernetes", VIRTUAL_EPOCH, Random(1))
OTHER_AUTHORITY = certificates.make_authority("kubernetes", VIRTUAL_EPOCH, Random(2))


def der(pair: KeyPair) -> bytes:
    return load_pem_x509_certificate(pair.certificate).public_bytes(serialization.Encoding.DER)


def client_der(user: str, *groups: str, authority: KeyPair = AUTHORITY) -> bytes:
    return der(certificates.make_client(authority, Identity(user, groups), VIRTUAL_EPOCH, Random(3)))


def token_keys() -> tuple[Signer, Verifier]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Signer(private), Verifier([public])


@pytest.fixture
def authenticate(reader: Any, clock: Any) -> Callable[..., Any]:
    """The rows as the server has them, with a token file."""
    _, verifier = token_keys()
    tokens = Tokens((TokenFile('secret,jane,7,"dev,ops"'), ServiceAccountTokens(verifier, reader, clock)))
    rows = (
        FrontProxy(Authority(OTHER_AUTHORITY.certificate, clock), ["front-proxy-client"]),
        ClientCertificates(Authority(AUTHORITY.certificate, clock)),
        BearerTokens(tokens, [ISSUER]),
    )
    return Authentication(rows).authenticate


async def test_a_certificate_is_a_user_with_groups(authenticate: Callable[..., Any]) -> None:
    """CN and O become name and groups, and everybody known is system:authenticated."""
    user = await authenticate(Request("GET", "/", client_certificate_der=client_der("jane", "dev")))
    assert (user.name, user.groups) == ("jane", ("dev", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


async def test_without_credentials_nobody_is_named(authenticate: Callable[..., Any]) -> None:
    """The core then takes the request for an anonymous one."""
    assert await authenticate(Request("GET", "/")) is None


@pytest.mark.parametrize(
    "certificate",
    [
        client_der("jane", authority=certificates.make_authority("kubernetes", VIRTUAL_EPOCH, Random(9))),
        der(certificates.make_server(AUTHORITY, Identity("jane"), ["jane"], VIRTUAL_EPOCH, Random(4))),
        b"not a certificate",
    ],
    ids=["unknown authority with the same name", "a serving certificate", "rubbish"],
)
async def test_a_wrong_certificate_is_refused(authenticate: Callable[..., Any], certificate: bytes) -> None:
    """Nobody gets in with a certificate that our authority has not signed for clients."""
    with pytest.raises(APIError, match="Unauthorized") as raised:
        await authenticate(Request("GET", "/", client_certificate_der=certificate))
    assert raised.value.code == 401


async def test_a_certificate_ends(authenticate: Callable[..., Any], clock: Any) -> None:
    """A certificate that was good is refused when its time is over, though it is remembered."""
    request = Request("GET", "/", client_certificate_der=client_der("jane"))
    assert (await authenticate(request)).name == "jane"
    clock.advance(days=366)
    with pytest.raises(APIError):
        await authenticate(request)


async def test_right_credentials_outweigh_wrong_ones(authenticate: Callable[..., Any]) -> None:
    """A browser's stray certificate must not spoil a good token."""
    headers = {"authorization": "Bearer secret"}
    user = await authenticate(Request("GET", "/", headers=headers, client_certificate_der=b"rubbish"))
    assert (user.name, user.uid, user.groups) == ("jane", "7", ("dev", "ops", "system:authenticated"))


@pytest.mark.parametrize("token", ["wrong", "a.b.c", "e30.e30.e30"])
async def test_a_wrong_token_is_refused(authenticate: Callable[..., Any], token: str) -> None:
    """A bad bearer token is a 401, never an anonymous request."""
    with pytest.raises(APIError, match="Unauthorized"):
        await authenticate(Request("GET", "/", headers={"authorization": f"Bearer {token}"}))


async def test_a_token_in_a_websocket_subprotocol(authenticate: Callable[..., Any]) -> None:
    """Browsers cannot send the header with a WebSocket."""
    protocols = "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0"
    user = await authenticate(Request("GET", "/", headers={"sec-websocket-protocol": protocols}))
    assert user.name == "jane"


async def test_only_the_front_proxy_may_name_users(authenticate: Callable[..., Any]) -> None:
    """The X-Remote headers count with the proxy's own certificate, and mean nothing with another one."""
    headers = {"x-remote-user": "anna", "x-remote-group": "a,b", "x-remote-extra-scopes": "x"}
    proxy = client_der("front-proxy-client", authority=OTHER_AUTHORITY)
    user = await authenticate(Request("GET", "/", headers=headers, client_certificate_der=proxy))
    assert user == User("anna", ("a", "b", "system:authenticated"), "", {"scopes": ("x",)})
    other = Request("GET", "/", headers=headers, client_certificate_der=client_der("jane"))
    assert (await authenticate(other)).name == "jane"
    with pytest.raises(APIError):
        await authenticate(
            Request("GET", "/", headers=headers, client_certificate_der=client_der("x", authority=OTHER_AUTHORITY))
        )


def test_a_token_round_trips_and_cannot_be_changed() -> None:
    """What was signed is read back; another key or one changed character is refused, also after a good answer."""
    signer, verifier = token_keys()
    token = signer.sign({"iss": ISSUER, "sub": "x"})
    assert verifier.verify(token) == verifier.verify(token) == {"iss": ISSUER, "sub": "x"}
    assert unverified_issuer(token) == ISSUER
    head, claims, signature = token.split(".")
    for forged in (f"{head}.{claims[:-2]}AA.{signature}", f"{head}.{claims}.{signature[:-4]}AAAA", f"{head}.{claims}."):
        with pytest.raises(InvalidToken):
            verifier.verify(forged)
    with pytest.raises(InvalidToken):
        verifier.verify(token_keys()[0].sign({"iss": ISSUER}))


def test_the_key_set_names_the_key() -> None:
    """OIDC clients find the key that a token's header names."""
    signer, verifier = token_keys()
    (key,) = verifier.key_set()["keys"]
    assert (key["kty"], key["crv"], key["alg"]) == ("EC", "P-256", "ES256")
    assert len(key["x"]) == len(key["y"]) == 43
    assert verifier.verify(signer.sign({})) == {}


ADMIN = User("admin")


class Issued:
    """A service account `a/builder` with a pod on a node, and tokens for it."""

    def __init__(self, reader: Any, clock: Any) -> None:
        self.reader, self.clock = reader, clock
        signer, verifier = token_keys()
        self.requests = TokenRequests(signer, reader, clock, [ISSUER])
        self.tokens = ServiceAccountTokens(verifier, reader, clock)
        reader.add("ServiceAccount", "builder", "a")
        reader.add("Node", "n1")
        reader.add("Pod", "p", "a", spec={"serviceAccountName": "builder", "nodeName": "n1"})

    def issue(self, user: User = ADMIN, **spec: Any) -> Any:
        attributes = Attributes(user, "create", "", "v1", "serviceaccounts", "token", "a", "builder", is_resource=True)
        return self.requests.issue({"spec": spec}, attributes)

    def token(self, **spec: Any) -> str:
        token: str = self.issue(**spec)["status"]["token"]
        return token

    def user_of(self, token: str, audience: str = ISSUER) -> User:
        identity = self.tokens.authenticate_token(token, [audience])
        assert identity is not None
        return identity.user


POD = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "uid-p"}


@pytest.fixture
def issued(reader: Any, clock: Any) -> Issued:
    return Issued(reader, clock)


def test_a_bound_token_says_who_and_where(issued: Issued) -> None:
    """Name, groups, uid and the pod's details, as audit and admission policies use them."""
    user = issued.user_of(issued.token(boundObjectRef=POD))
    assert user.name == "system:serviceaccount:a:builder"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:a")
    assert user.uid == "uid-builder"
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)


def test_a_token_ends_with_its_time(issued: Issued) -> None:
    """exp is kept to the second."""
    token = issued.token(expirationSeconds=600)
    issued.clock.advance(seconds=599)
    assert issued.user_of(token)
    issued.clock.advance(seconds=1)
    with pytest.raises(InvalidToken, match="expired"):
        issued.user_of(token)


@pytest.mark.parametrize(("kind", "name", "namespace"), [("Pod", "p", "a"), ("ServiceAccount", "builder", "a")])
def test_a_token_dies_with_what_it_is_bound_to(issued: Issued, kind: str, name: str, namespace: str) -> None:
    """A deleted pod's token is refused at once, also when a new pod has its name."""
    token = issued.token(boundObjectRef=POD)
    assert issued.user_of(token)
    issued.reader.remove(kind, name, namespace)
    with pytest.raises(InvalidToken):
        issued.user_of(token)
    issued.reader.add(kind, name, namespace, metadata={"uid": "another"})
    with pytest.raises(InvalidToken):
        issued.user_of(token)


def test_a_token_is_for_its_audience(issued: Issued) -> None:
    """A token for somebody else cannot be used on the API."""
    token = issued.token(audiences=["vault"])
    assert issued.user_of(token, "vault")
    with pytest.raises(InvalidToken, match="audiences"):
        issued.user_of(token)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"expirationSeconds": 599}, "may not specify a duration less than 10 minutes"),
        ({"boundObjectRef": {**POD, "uid": "old"}}, "does not match the UID in record"),
        ({"boundObjectRef": {**POD, "name": "none"}}, 'pods "none" not found'),
        ({"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "x"}}, "cannot bind token"),
    ],
)
def test_what_cannot_be_issued(issued: Issued, spec: dict[str, Any], text: str) -> None:
    """Upstream's texts for requests that make no sense."""
    with pytest.raises(APIError, match=text):
        issued.issue(**spec)


def test_a_node_gets_tokens_of_its_own_pods_only(issued: Issued) -> None:
    """NodeRestriction for tokens: a stolen node cannot become every service account."""
    own, other = (User(f"system:node:{n}", ("system:nodes",)) for n in ("n1", "n2"))
    assert issued.issue(own, boundObjectRef=POD)["status"]["token"]
    with pytest.raises(APIError, match="node requested token bound to a pod scheduled on a different node"):
        issued.issue(other, boundObjectRef=POD)
    with pytest.raises(APIError, match="node requested token not bound to a pod"):
        issued.issue(own)


def test_a_bootstrap_token(reader: Any, clock: Any) -> None:
    """A node that joins proves it with `<id>.<secret>`, until the Secret's expiration."""

    def text(value: str) -> str:
        return b64encode(value.encode()).decode()

    data = {
        "token-secret": text("0123456789abcdef"),
        "usage-bootstrap-authentication": text("true"),
        "auth-extra-groups": text("system:bootstrappers:workers"),
        "expiration": text("2030-01-02T00:00:00Z"),
    }
    reader.add("Secret", "bootstrap-token-abcdef", "kube-system", type="bootstrap.kubernetes.io/token", data=data)
    row = BootstrapTokens(reader, clock)
    identity = row.authenticate_token("abcdef.0123456789abcdef", [])
    assert identity is not None
    assert identity.user == User("system:bootstrap:abcdef", ("system:bootstrappers", "system:bootstrappers:workers"))
    with pytest.raises(InvalidToken):
        row.authenticate_token("abcdef.fedcba9876543210", [])
    clock.advance(days=2)
    with pytest.raises(InvalidToken):
        row.authenticate_token("abcdef.0123456789abcdef", [])


def test_a_token_file_with_too_few_columns_is_refused() -> None:
    """A broken file stops the server instead of letting somebody in or locking them out silently."""
    with pytest.raises(ValueError, match="line 2"):
        TokenFile("a,b,c\nonly,two")
