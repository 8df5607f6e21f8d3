"""A secured API server on a loopback port, with certificates, policy and the real kubectl."""

import asyncio
import os
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaa.cluster import certificates
from kaa.cluster.certificates import ADMIN, Identity
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.http import HTTPServer
from kaa.server.security import SecurityOptions, secure
from kaa.server.tls import server_context
from kaa.store.memory import MemoryStore

LOOPBACK = "127.0.0.1"
KUBECTL_SECONDS = 60


@dataclass
class Secured:
    """A running server. `directory` is for its files, `pki` its certificates."""

    server: APIServer
    port: int
    directory: Path
    pki: Path
    clock: WallClock

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    def kubeconfig(self, identity: Identity = ADMIN) -> Path:
        path = self.directory / f"{identity.user.replace(':', '-')}.kubeconfig"
        certificates.ensure_kubeconfig(path, self.pki, identity, self.url, "test", self.clock)
        return path

    def client_tls(self, identity: Identity | None = ADMIN) -> ssl.SSLContext:
        """A client's context, with a certificate unless `identity` is None."""
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        if identity is not None:
            authority = certificates.read_pair(self.pki, "ca")
            pair = certificates.make_client(authority, identity, self.clock.now(), self.clock.random)
            certificate, key = self.directory / "client.crt", self.directory / "client.key"
            certificate.write_bytes(pair.certificate)
            key.write_bytes(pair.key)
            context.load_cert_chain(certificate, key)
        return context

    async def kubectl(self, *arguments: str, identity: Identity = ADMIN) -> tuple[int, str]:
        """Exit code, and standard output and error together."""
        program = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        assert program, "kubectl is a development dependency"
        process = await asyncio.create_subprocess_exec(
            program,
            "--kubeconfig",
            str(self.kubeconfig(identity)),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(self.directory), "PATH": os.environ.get("PATH", "")},
        )
        async with asyncio.timeout(KUBECTL_SECONDS):
            output, _ = await process.communicate()
        return process.returncode or 0, output.decode()


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    clock = WallClock()
    pki = certificates.ensure_pki(tmp_path, ["10.96.0.1"], clock)
    store = MemoryStore(clock)
    server = APIServer(store, clock, secure=secure(SecurityOptions.in_directory(pki, LOOPBACK, 6443)))
    http = HTTPServer(server.handle, server_context(pki / "apiserver.crt", pki / "apiserver.key"))
    await server.start()
    port = await http.start([LOOPBACK], 0)
    yield Secured(server, port, tmp_path, pki, clock)
    await server.stop()
    await http.stop()
    await store.close()
