"""Explanations over a socket of the scheduler's own, which only root can open: a question a line, an answer a line.

{"namespace": "default", "name": "web-1", "nodes": 100}
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import orjson

from kaa.api.objects import Object
from kaa.scheduler.explaining import MAX_NODES_SHOWN, NODES_SHOWN

MAX_QUESTION_BYTES = 4096
ANSWER_SECONDS = 10.0
MAX_PATH_BYTES = 107
"""What the kernel takes for a socket's name."""

log = logging.getLogger(__name__)

Explain: TypeAlias = Callable[[str, str, int], Object]
"""Of namespace, name and how many nodes."""


async def serve_explanations(path: Path, explain: Explain) -> None:
    """Until cancelled."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                line = await reader.readline()
                writer.write(orjson.dumps(answer_to(line, explain)) + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # whoever asked is gone, or asks for what is no question
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        log.warning("no explanations are served: %s is too long for a socket's name", path)
        return
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(answer, path, limit=MAX_QUESTION_BYTES)
    finally:
        os.umask(mask)
    try:
        async with server:
            await server.serve_forever()
    finally:
        path.unlink(missing_ok=True)


def answer_to(line: bytes, explain: Explain) -> Object:
    """Raises ValueError for what is no question."""
    question = orjson.loads(line)
    if not isinstance(question, dict):
        raise ValueError("not an object")
    nodes = question.get("nodes", NODES_SHOWN)
    namespace, name = question.get("namespace"), question.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and isinstance(nodes, int)):
        raise ValueError("namespace, name and nodes")
    return explain(namespace, name, min(max(nodes, 0), MAX_NODES_SHOWN))


def ask(path: Path, namespace: str, name: str, nodes: int = NODES_SHOWN) -> Object:
    """Raises OSError when nobody is there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(path))
        connection.sendall(orjson.dumps({"namespace": namespace, "name": name, "nodes": nodes}) + b"\n")
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    answer: Object = orjson.loads(b"".join(parts))
    return answer
