"""The cluster's certificates: one authority, and a short-lived leaf for everybody who proves who they are.

    ca            signs every leaf below                           10 years
    apiserver     what clients see: names and addresses            1 year, serverAuth
    apiserver-kubelet-client   the API server towards kubelets     1 year, clientAuth
    front-proxy-ca, front-proxy-client   for aggregated servers    10 years, 1 year
    sa.key, sa.pub             sign and check service-account tokens (ES256)

The files are those that kubeadm makes. People and components get theirs inside a kubeconfig: the *identity* is the
subject, common name = user, organizations = groups. A leaf is made anew when less than `RENEW_DAYS` are left, when
its authority is another one, or when it lacks a name that is asked for now; so `ensure_*` twice is once.

Keys are ECDSA P-256: made in 0.1 ms, where RSA takes a tenth of a second. Their randomness is the operating system's
and never the clock's: a seed must not decide a private key.
"""

import base64
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from random import Random

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaa.api.objects import Object
from kaa.lib.clock import Clock

CA_DAYS = 3650
LEAF_DAYS = 365
RENEW_DAYS = 30
BACKDATE = timedelta(minutes=5)
"""Certificates are valid from a little before now: nodes' clocks differ."""

SERVER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)
"""Names that the API server always has; 127.0.0.1 goes with them."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client certificate says its holder is."""

    user: str
    groups: tuple[str, ...] = ()


ADMIN = Identity("kubernetes-admin", ("system:masters",))
CONTROLLER_MANAGER = Identity("system:kube-controller-manager")
SCHEDULER = Identity("system:kube-scheduler")
KUBE_PROXY = Identity("system:kube-proxy")
DNS = Identity("system:kaa-dns")
SIMULATED_NODES = Identity("kaa:simulated-nodes")
APISERVER_KUBELET_CLIENT = Identity("kube-apiserver-kubelet-client", ("system:masters",))
FRONT_PROXY_CLIENT = Identity("front-proxy-client")


def node_identity(node_name: str) -> Identity:
    """What a kubelet is: the node authorizer knows it by this name and group."""
    return Identity(f"system:node:{node_name}", ("system:nodes",))


# --- made in memory


def make_authority(common_name: str, now: datetime, rng: Random) -> KeyPair:
    """A self-signed certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _certificate(subject, subject, key.public_key(), now, CA_DAYS, rng)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return KeyPair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def make_client(authority: KeyPair, identity: Identity, now: datetime, rng: Random) -> KeyPair:
    """A client certificate for `identity`."""
    return _leaf(authority, identity, ExtendedKeyUsageOID.CLIENT_AUTH, (), now, rng)


def make_server(authority: KeyPair, identity: Identity, hosts: Sequence[str], now: datetime, rng: Random) -> KeyPair:
    """A serving certificate for `hosts`: DNS names and IP addresses."""
    return _leaf(authority, identity, ExtendedKeyUsageOID.SERVER_AUTH, hosts, now, rng)


def _leaf(
    authority: KeyPair,
    identity: Identity,
    usage: x509.ObjectIdentifier,
    hosts: Sequence[str],
    now: datetime,
    rng: Random,
) -> KeyPair:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _certificate(_subject(identity), issuer.subject, key.public_key(), now, LEAF_DAYS, rng)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(h) for h in hosts]), critical=False)
    return KeyPair(_pem(builder.sign(issuer_key, hashes.SHA256())), _key_pem(key))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int, rng: Random
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(rng.getrandbits(158) + 1)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
    )


def _subject(identity: Identity) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.user)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, digital_signature: bool, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# --- kept in files


def ensure_pki(data_dir: Path, hosts: Iterable[str], clock: Clock) -> Path:
    """Makes or renews what an API server needs under `<data_dir>/pki`, and returns that directory.

    `hosts` are the DNS names and addresses, beyond `SERVER_NAMES` and 127.0.0.1, that clients reach the server by:
    its advertised addresses and the first address of the service range.
    """
    pki = _private_directory(data_dir / "pki")
    authority = _ensure_authority(pki, "ca", "kubernetes", clock)
    front_proxy = _ensure_authority(pki, "front-proxy-ca", "front-proxy-ca", clock)
    all_hosts = list(dict.fromkeys([*SERVER_NAMES, "127.0.0.1", *hosts]))
    _ensure_server(pki, "apiserver", authority, Identity("kube-apiserver"), all_hosts, clock)
    _ensure_client(pki, "apiserver-kubelet-client", authority, APISERVER_KUBELET_CLIENT, clock)
    _ensure_client(pki, "front-proxy-client", front_proxy, FRONT_PROXY_CLIENT, clock)
    _ensure_token_keys(pki)
    return pki


def ensure_node_serving(pki: Path, directory: Path, node_name: str, addresses: Iterable[str], clock: Clock) -> KeyPair:
    """The kubelet's serving pair, `kubelet.crt` and `kubelet.key` in `directory`, signed by the cluster's authority."""
    identity = node_identity(node_name)
    hosts = list(dict.fromkeys([node_name, *addresses]))
    return _ensure_server(_private_directory(directory), "kubelet", read_pair(pki, "ca"), identity, hosts, clock)


def ensure_kubeconfig(path: Path, pki: Path, identity: Identity, server: str, cluster: str, clock: Clock) -> None:
    """Writes a kubeconfig for `identity` at `path`, unless the one there still serves."""
    authority = read_pair(pki, "ca")
    if path.exists() and _still_good(path.read_bytes(), authority, identity, server, cluster, clock.now()):
        return
    _private_directory(path.parent)
    pair = make_client(authority, identity, clock.now(), clock.random)
    config = client_kubeconfig(server, authority.certificate, pair, identity.user, cluster)
    _write_private(path, yaml.safe_dump(config, sort_keys=False).encode())


def client_kubeconfig(server: str, authority_pem: bytes, pair: KeyPair, user: str, cluster: str) -> Object:
    """A kubeconfig with everything embedded, so that the file can be carried elsewhere."""
    context = f"{user}@{cluster}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": server, "certificate-authority-data": _base64(authority_pem)}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(pair.certificate),
                    "client-key-data": _base64(pair.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
    }


def read_pair(pki: Path, name: str) -> KeyPair:
    """`<name>.crt` and `<name>.key`. Raises FileNotFoundError."""
    return KeyPair((pki / f"{name}.crt").read_bytes(), (pki / f"{name}.key").read_bytes())


def is_good(pair: KeyPair, authority: KeyPair, identity: Identity, hosts: Iterable[str], now: datetime) -> bool:
    """Whether a leaf can stay: its key, authority, subject and names are right, and enough of its time is left."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return (
        certificate.public_key() == key.public_key()
        and certificate.subject == _subject(identity)
        and set(hosts) <= _hosts_of(certificate)
        and certificate.not_valid_after_utc - now >= timedelta(days=RENEW_DAYS)
    )


def _hosts_of(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _still_good(text: bytes, authority: KeyPair, identity: Identity, server: str, cluster: str, now: datetime) -> bool:
    """Whether a kubeconfig is the one we would write, its certificate still good."""
    try:
        config = yaml.safe_load(text)
        user = config["users"][0]["user"]
        pair = KeyPair(base64.b64decode(user["client-certificate-data"]), base64.b64decode(user["client-key-data"]))
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        return False
    wanted = client_kubeconfig(server, authority.certificate, pair, identity.user, cluster)
    return bool(config == wanted) and is_good(pair, authority, identity, (), now)


def _ensure_authority(pki: Path, name: str, common_name: str, clock: Clock) -> KeyPair:
    """An authority is never renewed behind people's backs: all that it signed would be worthless."""
    if not (pki / f"{name}.crt").exists():
        _write_pair(pki, name, make_authority(common_name, clock.now(), clock.random))
    return read_pair(pki, name)


def _ensure_server(
    directory: Path, name: str, authority: KeyPair, identity: Identity, hosts: Sequence[str], clock: Clock
) -> KeyPair:
    if (directory / f"{name}.crt").exists():
        pair = read_pair(directory, name)
        if is_good(pair, authority, identity, hosts, clock.now()):
            return pair
    pair = make_server(authority, identity, hosts, clock.now(), clock.random)
    _write_pair(directory, name, pair)
    return pair


def _ensure_client(directory: Path, name: str, authority: KeyPair, identity: Identity, clock: Clock) -> None:
    present = (directory / f"{name}.crt").exists()
    if not present or not is_good(read_pair(directory, name), authority, identity, (), clock.now()):
        _write_pair(directory, name, make_client(authority, identity, clock.now(), clock.random))


def _ensure_token_keys(pki: Path) -> None:
    if (pki / "sa.pub").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_private(pki / "sa.key", _key_pem(key))
    _write_private(pki / "sa.pub", public)


def _write_pair(directory: Path, name: str, pair: KeyPair) -> None:
    """The key first: who finds a certificate finds its key."""
    _write_private(directory / f"{name}.key", pair.key)
    _write_private(directory / f"{name}.crt", pair.certificate)


def _private_directory(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
