"""exec, attach and port-forward in simulated pods, for clients that bring a connection along (`kubectl exec`).

The streaming server begins to listen with the first of them. exec gives the behaviour's answer; attach shows the log's
lines from now on; the ports are those that programs serve.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from kaa.cri.cri import Message
from kaa.cri.execution import Command
from kaa.cri.port_forward import Pod
from kaa.cri.remotecommand import STDERR, STDOUT, Session, exit_status, success
from kaa.cri.simulated_behaviour import Behaviour
from kaa.cri.simulated_program import ContainerLog
from kaa.cri.streaming import StreamingServer
from kaa.lib.clock import Clock

ADDRESS = "127.0.0.1"
POLL_SECONDS = 0.1
"""Between looks at the log of a container that somebody is attached to."""


class SimulatedStreams:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._server = StreamingServer(ADDRESS, clock)
        self._serving = asyncio.get_running_loop().create_task(self._server.run(), name="simulated streams")

    async def close(self) -> None:
        self._serving.cancel()
        await asyncio.wait((self._serving,))

    async def exec_url(self, request: Message, behaviour: Behaviour) -> str:
        command = _command(request)

        async def answer(session: Session) -> None:
            code, output = behaviour.answer(list(command.arguments))
            if output:
                await session.write(STDOUT, output)
            await session.finish(exit_status(code))

        return await self._server.url_for_command("exec", command, answer)

    async def ports_url(self, sandbox_id: str, dial: Callable[[int], Awaitable[socket.socket]]) -> str:
        return await self._server.url_for_ports(Pod(sandbox_id, "a simulated pod", dial))

    async def attach_url(self, request: Message, log: ContainerLog, ended: asyncio.Event) -> str:
        async def follow(session: Session) -> None:
            position = log.path.stat().st_size if log.path.exists() else 0
            while True:
                is_over = ended.is_set()
                position = await _send_lines(log, position, session)
                if is_over:
                    break
                await self._clock.sleep(POLL_SECONDS)
            await session.finish(success())

        return await self._server.url_for_command("attach", _command(request), follow)


async def _send_lines(log: ContainerLog, position: int, session: Session) -> int:
    """What has been written since; returns where it ends."""
    if not log.path.exists():
        return position
    with log.path.open("rb") as file:
        file.seek(position)
        for line in file:
            _, stream, _, text = line.split(b" ", 3)
            await session.write(STDERR if stream == b"stderr" else STDOUT, text)
        return file.tell()


def _command(request: Message) -> Command:
    return Command(
        tuple(request.get("cmd") or ()),
        terminal=bool(request.get("tty")),
        stdin=bool(request.get("stdin")),
        stdout=bool(request.get("stdout")),
        stderr=bool(request.get("stderr")) and not request.get("tty"),
    )
