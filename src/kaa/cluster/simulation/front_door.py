"""The way in from outside: a TLS port on 127.0.0.1, and kubeconfigs for it, of the administrator or of anybody.

It is opened when somebody first asks for it. Certificates are the process's own; files live only as long as the door.
"""

import tempfile
from pathlib import Path

import yaml

from kaa.cluster.certificates import Identity, KeyPair, client_kubeconfig, make_client, make_server
from kaa.cluster.simulation.credentials import process_credentials
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.http import HTTPServer
from kaa.server.tls import server_context

ADDRESS = "127.0.0.1"
CLOSE_SECONDS = 0.02
"""How long requests under way may still take: watches never end by themselves, and a test should not wait for them."""

HOSTS = (ADDRESS, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


class FrontDoor:
    """Open from `open` to `close`."""

    def __init__(self, http: HTTPServer, directory: tempfile.TemporaryDirectory[str], url: str) -> None:
        self.url = url
        self._http = http
        self._directory = directory
        self._kubeconfigs: dict[Identity, Path] = {}

    @classmethod
    async def open(cls, server: APIServer) -> "FrontDoor":
        clock, authority = WallClock(), process_credentials().authority
        directory = tempfile.TemporaryDirectory(prefix="kaa-cluster-")
        serving = make_server(authority, Identity("kube-apiserver"), HOSTS, clock.now(), clock.random)
        certificate, key = _written(Path(directory.name), serving)
        http = HTTPServer(server.handle, server_context(certificate, key), stop_seconds=CLOSE_SECONDS)
        # OpenSSL has read them, and nobody else should.
        certificate.unlink()
        key.unlink()
        port = await http.start((ADDRESS,), 0)
        return cls(http, directory, f"https://{ADDRESS}:{port}")

    def kubeconfig(self, identity: Identity) -> Path:
        """A file with which its holder is this user, in these groups."""
        if identity not in self._kubeconfigs:
            clock, authority = WallClock(), process_credentials().authority
            pair = make_client(authority, identity, clock.now(), clock.random)
            config = client_kubeconfig(self.url, authority.certificate, pair, identity.user, "kaa")
            path = Path(self._directory.name) / f"kubeconfig-{len(self._kubeconfigs)}"
            _write(path, yaml.safe_dump(config, sort_keys=False).encode())
            self._kubeconfigs[identity] = path
        return self._kubeconfigs[identity]

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
