"""A lone `kaa apiserver`, and the controllers beside it, as processes: for programs that are not ours."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 10.0
KAA = [sys.executable, "-c", "from kaa.cli.main import main; main()"]


@dataclass(frozen=True)
class Running:
    """`kubeconfig` is the administrator's; clients are given nothing else. `is_controlled`: it has controllers."""

    kubeconfig: Path
    log: Path
    is_controlled: bool = False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen([*KAA, *arguments], stdout=output, stderr=output)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(STOP_SECONDS)


def until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


@contextmanager
def api_server(directory: Path) -> Iterator[Running]:
    """The API server alone, over TLS on a loopback port."""
    log, port = directory / "apiserver.log", free_port()
    process = start(["apiserver", "--data-dir", str(directory), "--secure-port", str(port)], log)
    try:
        until_listening(port, process, log)
        yield Running(directory / "admin.kubeconfig", log)
        assert process.poll() is None, log.read_text()
    finally:
        stop(process)


@contextmanager
def controllers(server: Running) -> Iterator[None]:
    log = server.log.with_name("controllers.log")
    process = start(["controller-manager", "--kubeconfig", str(server.kubeconfig)], log)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        stop(process)
