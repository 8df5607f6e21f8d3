"""kubeconfig files: read and merged as kubectl reads them, edited without losing anything."""

import base64
import stat
from pathlib import Path

import pytest
import yaml

from kaa.client.kubeconfig import (
    ClientConfig,
    KubeconfigError,
    add_context,
    client_config,
    default_paths,
    in_cluster_config,
    kubeconfig_of,
    load_kubeconfig,
    remove_context,
    save_kubeconfig,
)

EXISTING = """
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- name: work
  cluster: {server: "https://work:6443", certificate-authority: ca.pem, proxy-url: "http://proxy"}
users:
- name: me
  user: {token: secret}
- name: cloud
  user: {exec: {command: login}}
contexts:
- name: work
  context: {cluster: work, user: me, namespace: team}
- name: cloud
  context: {cluster: work, user: cloud}
current-context: work
extensions: [{name: other-tool, extension: {a: 1}}]
"""

ONE_CLUSTER = """
contexts: [{{name: a, context: {{cluster: b}}}}]
clusters: [{{name: b, cluster: {{{}}}}}]
"""

OURS = ClientConfig("https://127.0.0.1:6443", ca=b"CA", client_certificate=b"CERT", client_key=b"KEY")


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(b"WORK CA")
    path = tmp_path / "config"
    path.write_text(EXISTING)
    return path


def test_a_context_is_resolved(existing: Path) -> None:
    """Server, CA from a path relative to the file, token and namespace of the current context."""
    assert load_kubeconfig(existing) == ClientConfig(
        "https://work:6443", ca=b"WORK CA", token="secret", namespace="team"
    )


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    """A generated kubeconfig is complete in one file, and only its owner reads it."""
    path = tmp_path / "new" / "kubeconfig"
    save_kubeconfig(path, kubeconfig_of("kaa-dev", OURS))
    assert load_kubeconfig(path) == OURS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["kubeconfig"]


def test_of_several_files_the_first_counts(existing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBECONFIG=a:b; a file that does not exist is skipped."""
    other = tmp_path / "other"
    save_kubeconfig(other, kubeconfig_of("work", OURS))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{existing}:{other}")
    assert load_kubeconfig().token == "secret"
    monkeypatch.setenv("KUBECONFIG", f"{other}:{existing}")
    assert load_kubeconfig().ca == b"CA"
    assert default_paths({}) == [Path("~/.kube/config").expanduser()]


def test_data_counts_before_a_file(tmp_path: Path) -> None:
    """As in kubectl, when a cluster has both."""
    config = kubeconfig_of("a", OURS)
    config["clusters"][0]["cluster"]["certificate-authority"] = "/absent"
    assert client_config(config).ca == b"CA"
    config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(b"X").decode()
    assert client_config(config).ca == b"X"


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        ("{", "", "is not YAML"),
        ("- a", "", "is not a kubeconfig"),
        ("contexts: [{name: a}]", "", 'needs "name" and "context"'),
        ("", "", "has no current-context"),
        (EXISTING, "absent", 'context "absent" does not exist'),
        (EXISTING, "cloud", 'credentials by "exec" are not supported'),
        ("contexts: [{name: a, context: {cluster: b}}]", "a", 'cluster "b" does not exist'),
        (
            ONE_CLUSTER.format("certificate-authority-data: '*'"),
            "a",
            "certificate-authority-data is not base64",
        ),
        (
            ONE_CLUSTER.format("certificate-authority: /absent"),
            "a",
            "cannot read /absent: No such file",
        ),
    ],
)
def test_a_bad_file_is_said_clearly(text: str, context: str, message: str, tmp_path: Path) -> None:
    """People edit these by hand."""
    path = tmp_path / "config"
    path.write_text(text)
    (tmp_path / "ca.pem").write_bytes(b"")
    with pytest.raises(KubeconfigError, match=message):
        load_kubeconfig(path, context)


def test_no_file_is_said_clearly(tmp_path: Path) -> None:
    """Which file was looked for is the first thing one wants to know."""
    with pytest.raises(KubeconfigError, match="absent does not exist"):
        load_kubeconfig(tmp_path / "absent")


def test_inside_a_pod(tmp_path: Path) -> None:
    """The service account's volume, and the addresses that the kubelet put in the environment."""
    for name, text in (("ca.crt", "CA"), ("token", "T"), ("namespace", "team\n")):
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert in_cluster_config(environment, tmp_path) == ClientConfig(
        "https://[fd00::1]:6443", ca=b"CA", token_file=tmp_path / "token", namespace="team"
    )


def test_adding_and_removing_a_context_leaves_the_rest_as_it_was(existing: Path) -> None:
    """Fields that we do not know, other tools' entries, relative paths: all still there."""
    add_context(existing, kubeconfig_of("kaa-dev", OURS))
    add_context(existing, kubeconfig_of("kaa-dev", OURS))  # again: replaced, not doubled
    assert load_kubeconfig(existing) == OURS
    assert load_kubeconfig(existing, "work").token == "secret"
    assert stat.S_IMODE(existing.stat().st_mode) == 0o600
    remove_context(existing, "kaa-dev")
    remove_context(existing, "kaa-dev")
    assert yaml.safe_load(existing.read_text()) == {**yaml.safe_load(EXISTING), "current-context": ""}
    assert not existing.with_name("config.lock").exists()


def test_a_file_that_only_held_ours_is_removed(tmp_path: Path) -> None:
    """`down` leaves the host as it was."""
    path = tmp_path / ".kube" / "config"
    add_context(path, kubeconfig_of("kaa-dev", OURS))
    remove_context(path, "other")
    assert path.exists()
    remove_context(path, "kaa-dev")
    assert not path.exists()
    remove_context(path, "kaa-dev")


def test_a_symbolic_link_stays_one(tmp_path: Path, existing: Path) -> None:
    """Many keep their dot files elsewhere."""
    link = tmp_path / "link"
    link.symlink_to(existing)
    add_context(link, kubeconfig_of("kaa-dev", OURS))
    assert link.is_symlink()
    assert load_kubeconfig(existing) == OURS


def test_kubectl_holding_the_lock_is_respected(existing: Path) -> None:
    """kubectl and kind lock by the same file; two writers at once would lose an entry."""
    lock = existing.with_name("config.lock")
    lock.touch()
    with pytest.raises(KubeconfigError, match=r"is being changed by another program; if not, remove .*config\.lock"):
        add_context(existing, kubeconfig_of("kaa-dev", OURS))
    assert lock.exists()
    assert existing.read_text() == EXISTING
