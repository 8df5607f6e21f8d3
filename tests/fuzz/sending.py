"""A server to be hostile to, and what every answer must be.

The server runs in this process on virtual time, so that what makes it wait (a revision to come) costs nothing. Its
objects live as long as the module's tests: what one request leaves behind is there for the next.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaa.cluster.certificates import ensure_pki
from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.app import APIServer
from kaa.server.request import Request, Response, User
from kaa.server.security import SecurityOptions, secure
from kaa.store.memory import MemoryStore

PLAIN_REFUSALS = (400, 404)
"""Answers that upstream gives as plain text too: what is no path of the API, and what is no HTTP."""

WAITED_IN_VAIN = 504
"""A revision that does not come: the one answer from 500 on that is the client's fault."""


ADMIN = User("admin", ("system:masters", "system:authenticated"))
"""May do everything, so that nothing is kept from admission, rules and storage by a 403."""


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes

    @property
    def object(self) -> Any:
        return json.loads(self.body)


class Victim:
    """One server. `ask` sends a request and returns what came back, or the first piece of a stream."""

    def __init__(self, directory: Path) -> None:
        self._loop = VirtualEventLoop()
        self._loop.run_until_complete(self._start(directory))

    async def _start(self, directory: Path) -> None:
        self.clock = VirtualClock(seed=11)
        self._store = MemoryStore(self.clock)
        pki = ensure_pki(directory, ["10.96.0.1"], self.clock)
        security = secure(SecurityOptions.in_directory(pki, "127.0.0.1", 6443))
        self.server = APIServer(self._store, self.clock, secure=security)
        await self.server.start()
        account = {"metadata": {"name": "default", "namespace": "default"}}
        await self.server.writer.create("ServiceAccount", account)

    def close(self) -> None:
        self._loop.run_until_complete(self.server.stop())
        self._loop.run_until_complete(self._store.close())
        assert not asyncio.all_tasks(self._loop)
        self._loop.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | list[Any] = b"",
        *,
        query: Sequence[tuple[str, str]] = (),
        **headers: str,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._loop.run_until_complete(self._ask(Request(method, path, list(query), named, raw, user=ADMIN)))

    async def _ask(self, request: Request) -> Answer:
        response = await self.server.handle(request)
        body = response.body if response.chunks is None else await _first_piece(response)
        return Answer(response.status, response.content_type, body)

    def apply(self, path: str, config: dict[str, Any]) -> Answer:
        query = [("fieldManager", "fuzz"), ("force", "true")]
        return self.ask("PATCH", path, config, query=query, content_type="application/apply-patch+yaml")

    def create(self, path: str, obj: dict[str, Any]) -> None:
        """What must be there for a test; it may be there already."""
        answer = self.ask("POST", path, obj)
        assert answer.status in (201, 409), answer.body

    def settle(self) -> None:
        """Lets what follows from a write happen, e.g. the end of a custom kind."""
        self._loop.run_until_complete(self.clock.sleep(1))

    def still_serves(self) -> None:
        """A write and a read go through."""
        config_map = {"metadata": {"generateName": "alive-"}, "data": {"a": "b"}}
        made = self.ask("POST", "/api/v1/namespaces/default/configmaps", config_map)
        assert made.status == 201, made.body
        path = f"/api/v1/namespaces/default/configmaps/{made.object['metadata']['name']}"
        assert self.ask("GET", path).object["data"] == {"a": "b"}
        assert self.ask("DELETE", path).status == 200


async def _first_piece(response: Response) -> bytes:
    assert response.chunks is not None
    try:
        async with asyncio.timeout(1):
            return await anext(aiter(response.chunks), b"")
    except TimeoutError:
        return b""
    finally:
        await response.chunks.aclose()  # type: ignore[attr-defined]


def check(answer: Answer) -> None:
    """An answer to a hostile request is what was asked for, or a refusal that says why."""
    assert answer.status < 500 or answer.status == WAITED_IN_VAIN, answer.body
    if answer.status < 400:
        return
    if answer.content_type.startswith("text/plain"):
        assert answer.status in PLAIN_REFUSALS, answer
    elif answer.content_type == "application/json":
        status = answer.object
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status)
        assert status["message"]
    else:
        assert answer.content_type in ("application/yaml", "application/vnd.kubernetes.protobuf")
        assert answer.body
