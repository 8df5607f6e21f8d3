"""The way in from outside: a TLS port on 127.0.0.1, and a kubeconfig of the cluster's administrator.

It is opened when somebody first asks for it. Certificates are the process's own; files live only as long as the door.
"""

import tempfile
from pathlib import Path

import yaml

from kaa.cluster.certificates import ADMIN, Identity, KeyPair, client_kubeconfig, make_client, make_server
from kaa.cluster.simulation.credentials import process_credentials
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.http import HTTPServer
from kaa.server.tls import server_context

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


class FrontDoor:
    """Open from `open` to `close`."""

    def __init__(self, http: HTTPServer, directory: tempfile.TemporaryDirectory[str], kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._http = http
        self._directory = directory

    @classmethod
    async def open(cls, server: APIServer) -> "FrontDoor":
        clock, authority = WallClock(), process_credentials().authority
        directory = tempfile.TemporaryDirectory(prefix="kaa-cluster-")
        files = Path(directory.name)
        serving = make_server(authority, Identity("kube-apiserver"), HOSTS, clock.now(), clock.random)
        certificate, key = _written(files, serving)
        http = HTTPServer(server.handle, server_context(certificate, key))
        # OpenSSL has read them, and nobody else should.
        certificate.unlink()
        key.unlink()
        port = await http.start((ADDRESS,), 0)
        admin = make_client(authority, ADMIN, clock.now(), clock.random)
        url = f"https://{ADDRESS}:{port}"
        config = client_kubeconfig(url, authority.certificate, admin, ADMIN.user, "kaa")
        kubeconfig = files / "kubeconfig"
        _write(kubeconfig, yaml.safe_dump(config, sort_keys=False).encode())
        return cls(http, directory, kubeconfig)

    async def close(self) -> None:
        await self._http.stop()
        self._directory.cleanup()


def _written(directory: Path, pair: KeyPair) -> tuple[Path, Path]:
    certificate, key = directory / "apiserver.crt", directory / "apiserver.key"
    _write(certificate, pair.certificate)
    _write(key, pair.key)
    return certificate, key


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
