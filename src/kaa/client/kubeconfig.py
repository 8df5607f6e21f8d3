"""kubeconfig: where an API server is, how to trust it, and who we are. Read, merged and edited as kubectl does.

A kubeconfig names *clusters* (server, CA), *users* (credentials) and *contexts* (a cluster, a user, a namespace);
`current-context` is the context in use. Several files (`KUBECONFIG=a:b`) are one: of each name the first counts. Paths
inside a file are relative to it. Without any file, a pod uses what its service account's volume holds.

Edits keep every field that they do not know, replace the file in one step, and hold the same `<file>.lock` as kubectl.
"""

import base64
import binascii
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kaa.api.objects import Object

DEFAULT_PATH = Path("~/.kube/config")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, CA and namespace."""

SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
"""A kubeconfig's lists of named entries, and the field of an entry that holds its content."""

UNSUPPORTED_CREDENTIALS = ("exec", "auth-provider", "username")


class KubeconfigError(Exception):
    """The file cannot be used; the message is for a person."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """One context, resolved. Certificates and keys are PEM. `token_file` is read again whenever it changes."""

    server: str
    ca: bytes = b""  # empty: the system's
    client_certificate: bytes = b""
    client_key: bytes = b""
    token: str = ""
    token_file: Path | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    namespace: str = "default"


def load_kubeconfig(path: Path | str | None = None, context: str = "") -> ClientConfig:
    """The context (default: the current one) of that file, or of the files that kubectl would read.

    Raises KubeconfigError.
    """
    paths = [Path(path)] if path is not None else default_paths(os.environ)
    existing = [p for p in paths if p.exists()]
    if existing:
        return client_config(merge([read(p) for p in existing]), context)
    if path is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster_config(os.environ)
    raise KubeconfigError(f"no kubeconfig: {', '.join(map(str, paths))} does not exist")


def default_paths(environment: Mapping[str, str]) -> list[Path]:
    listed = [Path(part) for part in environment.get("KUBECONFIG", "").split(":") if part]
    return listed or [DEFAULT_PATH.expanduser()]


def in_cluster_config(environment: Mapping[str, str], directory: Path = SERVICE_ACCOUNT) -> ClientConfig:
    """What a pod's service account gives it. Raises KubeconfigError."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    namespace = directory / "namespace"
    return ClientConfig(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca=_file(directory / "ca.crt"),
        token_file=directory / "token",
        namespace=_file(namespace).decode().strip() if namespace.exists() else "default",
    )


def read(path: Path) -> Object:
    """One file as it is, with the paths in it made absolute."""
    config = _parse(path)
    for section, content in SECTIONS.items():
        for entry in config.get(section) or []:
            for field in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
                if (entry.get(content) or {}).get(field):
                    entry[content][field] = str(path.absolute().parent / entry[content][field])
    return config


def merge(configs: Sequence[Object]) -> Object:
    """Several files as one: of each name, and of current-context, the first counts."""
    merged: Object = {}
    for config in configs:
        for section in SECTIONS:
            names = {entry["name"] for entry in merged.setdefault(section, [])}
            merged[section] += [e for e in config.get(section) or [] if e["name"] not in names]
        merged["current-context"] = merged.get("current-context") or config.get("current-context", "")
    return merged


def client_config(config: Object, context: str = "") -> ClientConfig:
    """That context of a kubeconfig. Raises KubeconfigError."""
    name = context or config.get("current-context", "")
    if not name:
        raise KubeconfigError("the kubeconfig has no current-context; name one")
    chosen = _entry(config, "contexts", name)
    cluster = _entry(config, "clusters", chosen.get("cluster", ""))
    user = _entry(config, "users", chosen["user"]) if chosen.get("user") else {}
    for field in UNSUPPORTED_CREDENTIALS:
        if user.get(field):
            raise KubeconfigError(f'user "{chosen["user"]}": credentials by "{field}" are not supported')
    token_file = user.get("tokenFile")
    return ClientConfig(
        server=cluster.get("server", "").rstrip("/"),
        ca=_data_or_file(cluster, "certificate-authority"),
        client_certificate=_data_or_file(user, "client-certificate"),
        client_key=_data_or_file(user, "client-key"),
        token=user.get("token", ""),
        token_file=Path(token_file) if token_file else None,
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name", ""),
        namespace=chosen.get("namespace") or "default",
    )


def kubeconfig_of(name: str, config: ClientConfig) -> Object:
    """A kubeconfig with one cluster, user and context, all of that name, complete in one file."""
    cluster = {
        "server": config.server,
        "certificate-authority-data": _base64(config.ca),
        "insecure-skip-tls-verify": config.insecure_skip_tls_verify,
        "tls-server-name": config.tls_server_name,
    }
    user = {
        "client-certificate-data": _base64(config.client_certificate),
        "client-key-data": _base64(config.client_key),
        "token": config.token,
        "tokenFile": str(config.token_file or ""),
    }
    context = {"cluster": name, "user": name, "namespace": "" if config.namespace == "default" else config.namespace}
    contents: tuple[tuple[str, Object], ...] = (("clusters", cluster), ("users", user), ("contexts", context))
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        **{
            section: [{"name": name, SECTIONS[section]: {key: value for key, value in content.items() if value}}]
            for section, content in contents
        },
    }


def save_kubeconfig(path: Path, config: Object) -> None:
    """Writes the file in one step, readable by the owner only."""
    path = path.resolve()  # a symbolic link stays one
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def add_context(path: Path, added: Object) -> None:
    """Puts a kubeconfig's entries into an existing file (or a new one) and makes its context the current one.

    Entries of the same name are replaced. Raises KubeconfigError.
    """

    def edit(config: Object) -> None:
        config.setdefault("apiVersion", "v1")
        config.setdefault("kind", "Config")
        for section in SECTIONS:
            names = {entry["name"] for entry in added.get(section) or []}
            kept = [entry for entry in config.get(section) or [] if entry["name"] not in names]
            config[section] = kept + (added.get(section) or [])
        config["current-context"] = added["current-context"]

    _edit(path, edit)


def remove_context(path: Path, name: str) -> None:
    """Takes the context of that name out of a file, and the cluster and user of the same name. Twice is once.

    A file that holds nothing afterwards is removed. Raises KubeconfigError.
    """

    def edit(config: Object) -> None:
        for section in SECTIONS:
            config[section] = [entry for entry in config.get(section) or [] if entry["name"] != name]
        if config.get("current-context") == name:
            config["current-context"] = ""

    if path.exists():
        _edit(path, edit)


def _edit(path: Path, change: Callable[[Object], None]) -> None:
    with _locked(path):
        config = _parse(path) if path.exists() else {}
        change(config)
        if any(value for key, value in config.items() if key not in ("apiVersion", "kind")):
            save_kubeconfig(path, config)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """kubectl's lock, the existence of `<file>.lock`; before it ours, for which several of us wait in turn."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise KubeconfigError(f"{path} is being changed by another program; if not, remove {lock}") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(directory)


def _parse(path: Path) -> Object:
    try:
        config = yaml.load(_file(path), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path} is not YAML: {error}") from error
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig")
    for section, content in SECTIONS.items():
        if not all(isinstance(e, dict) and e.get("name") and content in e for e in config.get(section) or []):
            raise KubeconfigError(f'{path}: every entry of {section} needs "name" and "{content}"')
    return config


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _entry(config: Object, section: str, name: str) -> Object:
    content = SECTIONS[section]
    for entry in config.get(section) or []:
        if entry["name"] == name:
            found: Object = entry[content] or {}
            return found
    raise KubeconfigError(f'{content} "{name}" does not exist')


def _data_or_file(content: Object, field: str) -> bytes:
    """`<field>-data` in base64, which counts before the file that `<field>` names."""
    if data := content.get(f"{field}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"{field}-data is not base64: {error}") from error
    return _file(Path(content[field])) if content.get(field) else b""


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"cannot read {path}: {error.strerror}") from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
