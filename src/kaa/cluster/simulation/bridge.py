"""A cluster that lives in a thread, for asynchronous code that runs in an event loop of its own: a test's, say.

`Bridge` has `AsyncCluster`'s names; what is awaited is done over there, while the caller's loop goes on. A coroutine
that cannot be moved, because it is made of the caller's own (a predicate, an `async for`), runs step by step.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from kaa.client.rest import Client
from kaa.client.transport import Query, Response, ResponseStream, Transport
from kaa.cluster.simulation.drivers import ThreadDriver
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.timing import until
from kaa.cluster.simulation.waiting import WAIT_SECONDS

T = TypeVar("T")


class Bridge:
    def __init__(self, cluster: AsyncCluster, driver: ThreadDriver) -> None:
        self._cluster = cluster
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        if not iscoroutinefunction(found):
            return found

        @wraps(found)
        async def over_there(*args: Any, **kwargs: Any) -> Any:
            return await self._driver.join(found(*args, **kwargs))

        return over_there

    @property
    def client(self) -> Client:
        return self._bridged(self._cluster.client)

    def client_of(self, user: str, *groups: str) -> Client:
        return self._bridged(self._cluster.client_of(user, *groups))

    def _bridged(self, client: Client) -> Client:
        return Client(BridgedTransport(client.transport, self._driver), client.catalog)

    async def run_until(self, predicate: Callable[[], Any | Awaitable[Any]], *, timeout: float = WAIT_SECONDS) -> Any:
        history, deadline = self._cluster.world.history, self._cluster.world.clock.monotonic() + timeout

        async def next_moment(seen: int) -> None:
            await self._driver.join(self._cluster.next_moment(seen, deadline))

        return await until(predicate, lambda: history.revision, next_moment)


class BridgedTransport:
    """A Transport over there."""

    def __init__(self, transport: Transport, driver: ThreadDriver) -> None:
        self._transport = transport
        self._driver = driver

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> Response:
        request = self._transport.request(
            method, path, query=query, headers=headers, body=body, timeout_seconds=timeout_seconds
        )
        return await self._join(request)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[ResponseStream]:
        stream = self._transport.stream(method, path, query=query, headers=headers, body=body)
        answer = await self._join(_enter(stream))
        try:
            yield BridgedStream(answer, self._driver)
        finally:
            await self._join(_leave(stream))

    async def close(self) -> None:
        await self._join(self._transport.close())

    async def _join(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await self._driver.join(coroutine)


class BridgedStream:
    def __init__(self, answer: ResponseStream, driver: ThreadDriver) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._chunks = aiter(answer)
        self._driver = driver

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._driver.join(_next(self._chunks))) is not None:
            yield chunk


async def _enter(stream: AbstractAsyncContextManager[ResponseStream]) -> ResponseStream:
    return await stream.__aenter__()


async def _leave(stream: AbstractAsyncContextManager[ResponseStream]) -> None:
    await stream.__aexit__(None, None, None)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)
