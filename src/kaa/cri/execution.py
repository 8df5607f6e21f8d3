"""Running a command in a container (`runc exec`), and attaching to its first process (conmon's socket).

`runc exec` stays in the foreground: it passes our pipes on, waits for the command, and ends with its exit code. For a
terminal it makes one inside of the container and copies between that and ours; when ours changes its size it wants a
SIGWINCH. Nothing outlives the client: when it goes, the command is killed.
"""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import socket
import struct
import termios
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from kaa.cri.bundle import Bundle
from kaa.cri.containers import Container
from kaa.cri.cri import RuntimeFault
from kaa.cri.linux import processes
from kaa.cri.linux.fds import Descriptor
from kaa.cri.linux.processes import Child
from kaa.cri.remotecommand import STDERR, STDOUT, Session, exit_status, failure, success

SYNC_OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
"""What ExecSync keeps of each stream, as upstream; the rest is dropped."""

PACKET_BYTES = 8192
"""What conmon takes at once from an attached client."""

RUNC_COMPLAINT = b"exec failed: "
"""How runc begins what it writes to the command's own output when there is no command. It is in its log too."""

_CONMON_CHANNELS = {2: STDOUT, 3: STDERR}

Write = Callable[[int, bytes], Awaitable[None]]


class ExecError(Exception):
    """The command could not be started; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Command:
    arguments: Sequence[str]
    terminal: bool = False
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True


class Execution:
    """One `runc exec` under way. `close` kills what is left of it."""

    def __init__(self, bundle: Bundle, command: Command, identifier: str) -> None:
        self._bundle = bundle
        self._command = command
        self._log = bundle.directory / f"exec-{identifier}.log"
        self._pid_file = bundle.directory / f"exec-{identifier}.pid"
        self._process: Child | None = None
        self.stdin: Descriptor | None = None
        self.outputs: dict[int, Descriptor] = {}

    def start(self) -> None:
        arguments = [
            "runc",
            f"--root={self._bundle.paths.runc_state}",
            f"--log={self._log}",
            "--log-format=json",
            "exec",
            f"--pid-file={self._pid_file}",
            *(["--tty"] if self._command.terminal else []),
            self._bundle.container_id,
            *self._command.arguments,
        ]
        theirs = self._open_terminal() if self._command.terminal else self._open_pipes()
        try:
            self._process = Child(arguments, stdin=theirs[0], stdout=theirs[1], stderr=theirs[2])
        finally:
            for fd in set(theirs):
                os.close(fd)

    def _open_terminal(self) -> tuple[int, int, int]:
        ours, theirs = pty.openpty()
        self.stdin = self.outputs[STDOUT] = Descriptor(ours)
        return theirs, theirs, theirs

    def _open_pipes(self) -> tuple[int, int, int]:
        """Our ends are kept; those of the command are returned, /dev/null where the client wants nothing."""
        theirs = []
        if self._command.stdin:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self.stdin = Descriptor(writer)
            theirs.append(reader)
        else:
            theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for channel, wanted in ((STDOUT, self._command.stdout), (STDERR, self._command.stderr)):
            if wanted:
                reader, writer = os.pipe2(os.O_CLOEXEC)
                self.outputs[channel] = Descriptor(reader)
                theirs.append(writer)
            else:
                theirs.append(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
        return theirs[0], theirs[1], theirs[2]

    async def wait(self, write: Write) -> int:
        """Hands all output to `write` and returns the exit code. Raises ExecError if it was never started.

        What the command wrote before it ended is delivered; what children of it write afterwards is not waited for.
        """
        process = self._process
        assert process is not None
        held: list[tuple[int, bytes]] = []

        async def write_what_is_the_commands(channel: int, data: bytes) -> None:
            if data.startswith(RUNC_COMPLAINT) and not self._pid_file.exists():
                held.append((channel, data))  # only the end tells whose it is
            else:
                await write(channel, data)

        async with asyncio.TaskGroup() as tasks:
            for channel, descriptor in self.outputs.items():
                tasks.create_task(_copy_output(descriptor, channel, write_what_is_the_commands))
            code = await process.wait()
            for descriptor in self.outputs.values():
                descriptor.end_when_empty()
        if not self._pid_file.exists():
            message = self._bundle.runc_message(self._log) or f"exit code {code}"
            raise ExecError(f"failed to exec in container: OCI runtime exec failed: {message}: unknown")
        for channel, data in held:
            await write(channel, data)
        return code

    def resize(self, width: int, height: int) -> None:
        if self._process is None or self.stdin is None or not self._command.terminal:
            return
        fcntl.ioctl(self.stdin.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._process.signal(signal.SIGWINCH)

    async def close(self) -> None:
        process = self._process
        if process is not None and process.running:
            with contextlib.suppress(FileNotFoundError, ValueError):
                processes.signal_process(int(self._pid_file.read_text()), signal.SIGKILL)
            process.signal(signal.SIGKILL)
            await asyncio.shield(process.wait())
        for descriptor in (*self.outputs.values(), *([self.stdin] if self.stdin else [])):
            descriptor.close()
        for path in (self._log, self._pid_file):
            path.unlink(missing_ok=True)


async def _copy_output(descriptor: Descriptor, channel: int, write: Write) -> None:
    while data := await descriptor.read():
        await write(channel, data)


async def run_in_session(container: Container, command: Command, session: Session, identifier: str) -> None:
    """Runs a command for a client, until either ends, and tells the client how it ended."""
    execution = Execution(container.bundle, command, identifier)
    try:
        execution.start()
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(_copy_input(session, execution.stdin, closes=not command.terminal)),
                tasks.create_task(_copy_sizes(session, execution.resize)),
            ]
            ending = tasks.create_task(execution.wait(session.write))
            leaving = tasks.create_task(session.gone())
            await asyncio.wait([ending, leaving], return_when=asyncio.FIRST_COMPLETED)
            for helper in (*helpers, leaving, ending):
                helper.cancel()  # one that has finished stays finished
        if not ending.cancelled():
            await session.finish(exit_status(ending.result()))
    except* ExecError as e:
        await session.finish(failure(f"error executing command in container: {e.exceptions[0]}"))
    except* ConnectionError:
        pass  # the client has gone
    finally:
        await execution.close()


async def _copy_input(session: Session, target: Descriptor | None, *, closes: bool) -> None:
    if target is None:
        return
    try:
        while data := await session.read_input():
            await target.write(data)
    except OSError:
        return  # the command has closed its input, or ended
    if closes:
        target.close()


async def _copy_sizes(session: Session, resize: Callable[[int, int], None]) -> None:
    while True:
        width, height = await session.next_size()
        resize(width, height)


async def run_to_end(
    container: Container, arguments: Sequence[str], timeout_seconds: float, identifier: str
) -> tuple[bytes, bytes, int]:
    """(stdout, stderr, exit code) of a command. 0 seconds is no limit; raises RuntimeFault."""
    kept = {STDOUT: bytearray(), STDERR: bytearray()}

    async def keep(channel: int, data: bytes) -> None:
        kept[channel] += data[: SYNC_OUTPUT_LIMIT_BYTES - len(kept[channel])]

    execution = Execution(container.bundle, Command(arguments), identifier)
    try:
        async with asyncio.timeout(timeout_seconds or None):
            execution.start()
            code = await execution.wait(keep)
    except TimeoutError as e:
        message = f"command {list(arguments)!r} timed out: timeout {timeout_seconds:g}s exceeded"
        raise RuntimeFault("DeadlineExceeded", f"failed to exec in container: {message}") from e
    except (ExecError, OSError) as e:
        raise RuntimeFault("Unknown", str(e)) from e
    finally:
        await execution.close()
    return bytes(kept[STDOUT]), bytes(kept[STDERR]), code


async def attach(container: Container, command: Command, session: Session) -> None:
    """Connects a client with a container's first process, until either ends."""
    connection = _connect(container.bundle)
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(_copy_sizes(session, container.bundle.resize_terminal))]
            if command.stdin:
                helpers.append(tasks.create_task(_send_packets(session, connection)))
            receiving = tasks.create_task(_receive_packets(connection, command, session))
            leaving = tasks.create_task(session.gone())
            await asyncio.wait([receiving, leaving], return_when=asyncio.FIRST_COMPLETED)
            for helper in (*helpers, leaving, receiving):
                helper.cancel()
        await session.finish(success())
    except* ConnectionError:
        pass  # the client has gone
    finally:
        connection.close()


class _PacketSocket(Descriptor):
    """Our end of conmon's socket; it closes with the object."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected.detach())

    def end_of_input(self) -> None:
        with socket.socket(fileno=os.dup(self.fileno())) as duplicate, contextlib.suppress(OSError):
            duplicate.shutdown(socket.SHUT_WR)


def _connect(bundle: Bundle) -> _PacketSocket:
    """Raises RuntimeFault when nobody serves the container any more."""
    directory = os.open(bundle.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        connected.connect(f"/proc/self/fd/{directory}/attach")  # a socket's path has at most 107 characters
    except OSError as e:
        connected.close()
        raise RuntimeFault("Unknown", f"failed to attach to container {bundle.container_id}: {e}") from e
    finally:
        os.close(directory)
    return _PacketSocket(connected)


async def _send_packets(session: Session, connection: _PacketSocket) -> None:
    try:
        while data := await session.read_input():
            for start in range(0, len(data), PACKET_BYTES):
                await connection.write(data[start : start + PACKET_BYTES])
    except OSError:
        return  # the container has ended
    connection.end_of_input()


async def _receive_packets(connection: _PacketSocket, command: Command, session: Session) -> None:
    wanted = {STDOUT: command.stdout, STDERR: command.stderr}
    while packet := await connection.read():
        channel = _CONMON_CHANNELS.get(packet[0])
        if channel is not None and wanted[channel] and len(packet) > 1:
            await session.write(channel, packet[1:])
