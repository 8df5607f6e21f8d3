"""A real etcd (Debian's `etcd-server`) on loopback, for tests; where it is not installed, they are skipped loudly."""

import asyncio
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

START_SECONDS = 15.0

needs_etcd = pytest.mark.skipif(
    shutil.which("etcd") is None,
    reason="*** etcd IS NOT INSTALLED: the etcd store is NOT tested (apt-get install etcd-server) ***",
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def etcd_server(directory: Path, *arguments: str, scheme: str = "http", port: int = 0) -> AsyncIterator[str]:
    """Runs one until the end of the block; gives its URL once it answers. The data stay in `directory`."""
    port = port or free_port()
    url, peer_url = f"{scheme}://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    command = ["etcd", "--data-dir", str(directory / "etcd"), "--name", "one", "--logger", "zap"]
    command += ["--listen-client-urls", url, "--advertise-client-urls", url]
    command += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
    command += ["--initial-cluster", f"one={peer_url}", "--log-level", "error"]
    # An only member need not wait long for others before it leads; and the least time to live is 1.5 of this.
    command += ["--heartbeat-interval", "20", "--election-timeout", "200", *arguments]
    with (directory / "etcd.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        await _listening(process, port, directory / "etcd.log")
        yield url
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    """etcd listens once it has a leader."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            if process.returncode is not None:
                raise AssertionError(f"etcd ended: {log.read_text()[-2000:]}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def tls_arguments(directory: Path) -> Sequence[str]:
    """What makes it serve, and ask for, certificates of `ca.crt`: the files are `server.crt` and `server.key`."""
    files = ("--cert-file", "server.crt"), ("--key-file", "server.key"), ("--trusted-ca-file", "ca.crt")
    return [argument for option, file in files for argument in (option, str(directory / file))] + ["--client-cert-auth"]
