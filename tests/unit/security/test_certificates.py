"""The cluster's certificates: what is signed by whom, what files there are, and when a leaf is made anew."""

import ssl
import stat
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kaa.cluster import certificates
from kaa.cluster.certificates import ADMIN, Identity
from kaa.lib.clock import VIRTUAL_EPOCH, VirtualClock


class StoppedClock(VirtualClock):
    """A clock that stands at a moment, usable without a loop."""

    def __init__(self, moment: datetime = VIRTUAL_EPOCH) -> None:
        super().__init__(seed=1)
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


def test_a_client_certificate_carries_user_and_groups() -> None:
    """CN is the user, every O a group: what the API server reads from it."""
    authority = certificates.make_authority("kubernetes", VIRTUAL_EPOCH, Random(1))
    pair = certificates.make_client(authority, Identity("jane", ("dev", "ops")), VIRTUAL_EPOCH, Random(2))
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert certificate.subject.rfc4514_string() == "CN=jane,O=ops,O=dev"
    assert certificate.not_valid_after_utc - VIRTUAL_EPOCH == timedelta(days=365)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))


def test_the_layout_is_private_and_complete(tmp_path: Path) -> None:
    """Nobody else reads a private key, and every file that kubeadm has is there."""
    pki = certificates.ensure_pki(tmp_path, ["172.30.0.1", "10.96.0.1"], StoppedClock())
    names = ("ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client")
    assert {f.name for f in pki.iterdir()} == {f"{n}.{e}" for n in names for e in ("crt", "key")} | {"sa.key", "sa.pub"}
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in pki.iterdir())
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700


def test_openssl_accepts_the_serving_pair(tmp_path: Path) -> None:
    """The pair loads into a real TLS context, and has all the names."""
    pki = certificates.ensure_pki(tmp_path, ["172.30.0.1"], StoppedClock())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    context.load_verify_locations(pki / "ca.crt")
    certificate = x509.load_pem_x509_certificate((pki / "apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)
    assert {str(a) for a in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "172.30.0.1"}


def test_twice_is_once_until_a_month_before_the_end(tmp_path: Path) -> None:
    """A restart changes nothing; close to expiry leaves are renewed, the authority and the token key never."""

    def contents(moment: datetime) -> dict[str, bytes]:
        pki = certificates.ensure_pki(tmp_path, [], StoppedClock(moment))
        return {f.name: f.read_bytes() for f in pki.iterdir()}

    first = contents(VIRTUAL_EPOCH)
    assert contents(VIRTUAL_EPOCH + timedelta(days=300)) == first
    later = contents(VIRTUAL_EPOCH + timedelta(days=340))
    changed = {name for name in first if first[name] != later[name]}
    leaves = ("apiserver", "apiserver-kubelet-client", "front-proxy-client")
    assert changed == {f"{leaf}.{end}" for leaf in leaves for end in ("crt", "key")}


def test_a_new_address_means_a_new_serving_certificate(tmp_path: Path) -> None:
    """A server that moved is still trusted by its clients."""
    before = (certificates.ensure_pki(tmp_path, [], StoppedClock()) / "apiserver.crt").read_bytes()
    after = (certificates.ensure_pki(tmp_path, ["192.0.2.7"], StoppedClock()) / "apiserver.crt").read_bytes()
    assert before != after


def test_a_damaged_leaf_is_replaced(tmp_path: Path) -> None:
    """A crash between the two files of a pair, or a broken disk, heals at the next start."""
    pki = certificates.ensure_pki(tmp_path, [], StoppedClock())
    (pki / "apiserver.key").write_bytes((pki / "front-proxy-client.key").read_bytes())
    (pki / "apiserver-kubelet-client.crt").write_bytes(b"rubbish")
    certificates.ensure_pki(tmp_path, [], StoppedClock())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    x509.load_pem_x509_certificate((pki / "apiserver-kubelet-client.crt").read_bytes())


def test_a_kubeconfig_is_written_once_and_follows_its_server(tmp_path: Path) -> None:
    """The file stays byte for byte while it is right, and is rewritten when server or authority change."""
    pki = certificates.ensure_pki(tmp_path, [], StoppedClock())
    path = tmp_path / "admin.kubeconfig"

    def written(server: str) -> bytes:
        certificates.ensure_kubeconfig(path, pki, ADMIN, server, "dev", StoppedClock())
        return path.read_bytes()

    first = written("https://127.0.0.1:6443")
    assert written("https://127.0.0.1:6443") == first
    assert yaml.safe_load(written("https://127.0.0.1:7443"))["clusters"][0]["cluster"]["server"].endswith(":7443")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_node_serves_under_its_name_and_addresses(tmp_path: Path) -> None:
    """The API server reaches the kubelet by address and checks it against the cluster's authority."""
    pki = certificates.ensure_pki(tmp_path, [], StoppedClock())
    pair = certificates.ensure_node_serving(pki, tmp_path / "node", "n1", ["172.30.0.2"], StoppedClock())
    authority = certificates.read_pair(pki, "ca")
    identity = certificates.node_identity("n1")
    assert certificates.is_good(pair, authority, identity, ["n1", "172.30.0.2"], VIRTUAL_EPOCH)
    assert not certificates.is_good(pair, authority, identity, ["172.30.0.3"], VIRTUAL_EPOCH)
