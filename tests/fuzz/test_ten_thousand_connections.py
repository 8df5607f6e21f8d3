"""10,000 connections that stay: silent ones, some that never end their handshake, some that never end their request.

The server is a process of its own, over TLS, for both ends together would be more open files than a process may have.
"""

import base64
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPSConnection
from pathlib import Path

import pytest
import yaml

from tests.clients.running import free_port, start, stop, until_listening

pytestmark = pytest.mark.slow

SILENT, HALF_GREETED, HALF_SENT = 8_000, 1_000, 1_000
ANSWER_SECONDS = 10.0
"""For a request meanwhile: the machine is busy with the others, too."""

BYTES_EACH = 64 * 1024
"""What a connection may cost the server while its TLS handshake is under way; for that it has ten seconds."""

BEGINNING_OF_A_GREETING = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
HALF_A_REQUEST = (
    b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 1000\r\n\r\n{"metadata":'
)


class Server:
    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        log = directory / "apiserver.log"
        self.process = start(["apiserver", "--data-dir", str(directory), "--secure-port", str(self.port)], log)
        until_listening(self.port, self.process, log)
        user = yaml.safe_load((directory / "admin.kubeconfig").read_text())["users"][0]["user"]
        pair = directory / "client.pem"
        pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        self.tls = ssl.create_default_context(cafile=str(directory / "pki" / "ca.crt"))
        self.tls.load_cert_chain(pair)

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS)

    def still_serves(self) -> float:
        """Reads and writes, and returns how long that took."""
        began = time.monotonic()
        connection = HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/api/v1/namespaces/default")
            answer = connection.getresponse()
            assert (answer.status, b"default" in answer.read()) == (200, True)
            body = b'{"metadata":{"generateName":"c-"}}'
            connection.request(
                "POST", "/api/v1/namespaces/default/configmaps", body, {"content-type": "application/json"}
            )
            assert connection.getresponse().status == 201
        finally:
            connection.close()
        return time.monotonic() - began


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = SILENT + HALF_GREETED + HALF_SENT + 500
    if hard < needed:
        pytest.skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    server = Server(tmp_path)
    yield server
    stop(server.process)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_connections(server: Server) -> None:
    """Others are served meanwhile and afterwards, and memory stays within what so many may cost."""
    server.still_serves()
    before = server.resident_bytes()
    with ExitStack() as opened:
        for _ in range(SILENT):
            opened.enter_context(server.connect())
        for _ in range(HALF_GREETED):
            opened.enter_context(server.connect()).sendall(BEGINNING_OF_A_GREETING)
        assert server.still_serves() < ANSWER_SECONDS
        for _ in range(HALF_SENT):
            secured = server.tls.wrap_socket(server.connect(), server_hostname="127.0.0.1")
            opened.enter_context(secured).sendall(HALF_A_REQUEST)
        assert server.still_serves() < ANSWER_SECONDS
        added = server.resident_bytes() - before
        assert added < BYTES_EACH * (SILENT + HALF_GREETED + HALF_SENT), f"{added / 2**20:.0f} MiB more"
    server.still_serves()
    assert server.process.poll() is None
