"""A container's bundle: its directory in the run directory, with what runc and conmon read and write.

conmon (`/usr/bin/conmon`, one a container) starts runc, is the parent of the container's first process, holds its
standard streams, writes its log in CRI's format, and at its end leaves the exit code in a file. It outlives us. We
speak to it through two things in the bundle: `attach`, a socket of packets whose first byte names the stream, and
`ctl`, a FIFO for orders.

The run directory is a tmpfs of the node: when the node's namespaces end, the bundles are gone with the processes.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kaa.cri.linux import mounts, processes

START_TIMEOUT_SECONDS = 120.0
"""How long creating a container may take: reading a cold image from a slow disk counts in."""

RUNC_TIMEOUT_SECONDS = 60.0
ANSWER_LIMIT_BYTES = 64 * 1024

RUNC, CONMON = "runc", "conmon"

_REOPEN_LOG = b"2 0 0\n"
_RESIZE = 1


class RuncError(Exception):
    """What runc said when it failed, e.g. `runc create failed: unable to start container process: ...`."""


@dataclass(frozen=True, slots=True)
class RunPaths:
    """Where bundles are, and what belongs to all of them."""

    directory: Path

    @property
    def bundles(self) -> Path:
        return self.directory / "containers"

    @property
    def exits(self) -> Path:
        return self.directory / "exits"

    @property
    def runc_state(self) -> Path:
        return self.directory / "runc"

    @property
    def links(self) -> Path:
        return self.directory / "l"

    @property
    def sandboxes(self) -> Path:
        return self.directory / "sandboxes"

    def create(self) -> None:
        for path in (self.bundles, self.exits, self.runc_state, self.links, self.sandboxes):
            path.mkdir(parents=True, exist_ok=True, mode=0o711)

    def bundle(self, container_id: str) -> "Bundle":
        return Bundle(container_id, self.bundles / container_id, self)


@dataclass(frozen=True, slots=True)
class Console:
    """How a container's standard input and terminal are to be held."""

    terminal: bool = False
    stdin: bool = False
    keep_stdin_open: bool = False  # after the first attached client has gone


@dataclass(frozen=True, slots=True)
class Bundle:
    container_id: str
    directory: Path
    paths: RunPaths

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs"

    @property
    def image_volumes(self) -> Path:
        """Where images are mounted that the container has as volumes, each in a directory of its own."""
        return self.directory / "image-volumes"

    @property
    def exit_file(self) -> Path:
        return self.paths.exits / self.container_id

    @property
    def _runc_log(self) -> Path:
        return self.directory / "runc.log"

    def exists(self) -> bool:
        return self.directory.exists()

    def create(self) -> None:
        self.directory.mkdir(mode=0o700)
        self.rootfs.mkdir(mode=0o755)

    def write_spec(self, spec: dict[str, Any]) -> None:
        (self.directory / "config.json").write_bytes(orjson.dumps(spec))

    def runc(self, *arguments: str) -> list[str]:
        """The command line of runc; its errors go to a log of their own, as lines of JSON."""
        log = [f"--log={self._runc_log}", "--log-format=json"]
        return [RUNC, f"--root={self.paths.runc_state}", *log, *arguments]

    async def run_runc(self, *arguments: str) -> None:
        """Raises RuncError."""
        exit_code = await processes.run(self.runc(*arguments), timeout_seconds=RUNC_TIMEOUT_SECONDS)
        if exit_code != 0:
            raise RuncError(self.runc_message() or f"runc {arguments[0]} failed with exit code {exit_code}")

    def runc_message(self, path: Path | None = None) -> str:
        """The last error in runc's log, or in the one at `path`."""
        try:
            lines = (path or self._runc_log).read_bytes().splitlines()
        except FileNotFoundError:
            return ""
        errors = []
        for line in lines:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:  # a line that was cut off
                continue
            if entry.get("level") in ("error", "fatal"):
                errors.append(str(entry.get("msg", "")))
        return errors[-1] if errors else ""

    async def create_container(self, log_path: str, console: Console) -> int:
        """Starts conmon, which has runc create the container; returns the pid of its first process, which waits.

        Raises RuncError when that fails; conmon is gone then.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            environment = dict(os.environ) | {"_OCI_SYNCPIPE": str(writer)}
            exit_code = await processes.run(
                self._conmon(log_path, console),
                timeout_seconds=START_TIMEOUT_SECONDS,
                environment=environment,
                pass_fds=[writer],
                directory=self.directory,  # where conmon notes that memory ran out
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        answer = await _read_to_end_of_line(reader)
        if not answer:
            raise RuncError(self.runc_message() or f"conmon ended with exit code {exit_code} and no answer")
        document = orjson.loads(answer)
        pid = int(document.get("data", document.get("pid", -1)))
        if pid <= 0:
            raise RuncError(self.runc_message() or str(document.get("message", "")).strip())
        return pid

    def _conmon(self, log_path: str, console: Console) -> list[str]:
        runc_path = _which(RUNC)
        command = [CONMON, "--api-version", "1", "--cid", self.container_id, "--cuuid", self.container_id]
        command += ["--name", self.container_id, "--runtime", runc_path, "--bundle", str(self.directory)]
        command += ["--container-pidfile", str(self.directory / "pid")]
        command += ["--conmon-pidfile", str(self.directory / "conmon.pid")]
        command += ["--log-path", f"k8s-file:{log_path}" if log_path else "none:", "--no-sync-log"]
        command += ["--exit-dir", str(self.paths.exits), "--full-attach"]
        for argument in self.runc()[1:]:
            command += ["--runtime-arg", argument]
        command += ["--terminal"] if console.terminal else []
        command += ["--stdin"] if console.stdin else []
        command += ["--leave-stdin-open"] if console.keep_stdin_open else []
        return command

    def conmon_pid(self) -> int:
        """The conmon that serves this bundle; 0 when it has ended. Its pid may be another process's by now."""
        try:
            pid = int((self.directory / "conmon.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return pid if self.container_id in processes.command_line(pid) else 0

    def exit_status(self) -> tuple[int, int] | None:
        """(exit code, when in ns since 1970) once the container has ended and conmon has said so."""
        try:
            code = int(self.exit_file.read_text())
            return code, self.exit_file.stat().st_mtime_ns
        except (FileNotFoundError, ValueError):
            return None

    def reopen_log(self) -> None:
        self._order(_REOPEN_LOG)

    def resize_terminal(self, width: int, height: int) -> None:
        self._order(f"{_RESIZE} {height} {width}\n".encode())

    def _order(self, line: bytes) -> None:
        """Raises OSError (ENXIO) when conmon has ended."""
        fd = os.open(self.directory / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)

    def unmount(self) -> None:
        mounts.unmount(str(self.rootfs))
        for volume in self.image_volumes.glob("*"):
            mounts.unmount(str(volume))


def _which(program: str) -> str:
    return shutil.which(program) or program


async def _read_to_end_of_line(fd: int) -> bytes:
    """conmon's one line, or nothing if it ended. Takes the descriptor over."""
    reader = asyncio.StreamReader(limit=ANSWER_LIMIT_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb"))
    try:
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            return await reader.readline()
    finally:
        transport.close()


def missing_programs(names: Sequence[str] = (RUNC, CONMON, "catatonit")) -> list[str]:
    """The programs we need that are not installed."""
    return [name for name in names if _which(name) == name]
