"""The link between one component and the API server: where the network would be, and where faults of it act.

A `Link` is a Transport around another one. Left alone it passes everything on; on virtual time a message is under way
for a moment, drawn from the seed, so that another seed lets another message arrive first.

    message   a request, an answer, or a piece of a watch. The messages of one watch stay in order, as in one TCP
              connection; everything else may overtake everything else.
    gate      what holds messages back: the component is paused, or the network is parted
    rule      what happens to some messages, while it is in `rules`: see FailedWrites, SlowWatches, RepeatedEvents

What is *not* offered: an event that is missing, or out of order, in a watch that goes on. The protocol excludes it (a
watch is one connection, and a client resumes at the revision that it has seen), so no client need survive it. What
does happen is that the watch breaks, that its revision is too old to be resumed at, and that watches of different
kinds are late by different times.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import orjson

from kaa.api.errors import APIError
from kaa.client.transport import Query, Response, ResponseStream, Transport, TransportError
from kaa.lib.clock import Clock

LATE_MESSAGES = 0.25
"""How many messages are late, on virtual time; all others arrive at once, which costs no timer."""

LATE_SECONDS = 0.02
"""How late at most."""

CONNECT_SECONDS = 30.0
"""How long one tries to reach a server that does not answer."""

SILENCE_SECONDS = 45.0
"""How long a watch may be cut off before its client gives it up: client-go's HTTP/2 asks after 30, and waits for 15."""

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True, eq=False)
class FailedWrites:
    """A fraction of the writes is refused with `reason`.

    Conflict: somebody else was faster. It had no effect, and one reads again and tries again. It meets creations (a
    quota was being changed), and those changes and deletions that say of which version they are.
    TooManyRequests: the server protects itself. No effect; `Retry-After` says when to try again.
    InternalError, ServiceUnavailable, ServerTimeout: the store behind the server failed or was slow. One in two of
    these *has* taken effect, which its client is not told: etcd had committed when its answer was lost.
    """

    fraction: float
    reason: str
    plural: str = ""  # only of this resource; "": of all

    def concerns(self, method: str, path: str, body: bytes) -> bool:
        guarded = method in ("POST", "PUT") or b'"resourceVersion"' in body
        return self.plural in ("", plural_of(path)) and (guarded or self.reason != "Conflict")

    @property
    def may_take_effect(self) -> bool:
        return self.reason not in ("Conflict", "TooManyRequests")


@dataclass(frozen=True, slots=True, eq=False)
class SlowWatches:
    """Each piece of a watch is late by a time drawn between the two; those behind it wait. A slow watch cache.

    `each_its_own`: every watch is late by one time of its own. So what was written first to two kinds may be seen last:
    the one kind of reordering that happens.
    """

    least_seconds: float
    most_seconds: float
    plural: str = ""
    each_its_own: bool = False
    lags: dict["WatchStream", float] = field(default_factory=dict)

    def delay(self, stream: "WatchStream", rng: Random) -> float:
        if self.plural not in ("", stream.plural):
            return 0.0
        if not self.each_its_own:
            return rng.uniform(self.least_seconds, self.most_seconds)
        if stream not in self.lags:
            self.lags[stream] = rng.uniform(self.least_seconds, self.most_seconds)
        return self.lags[stream]


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedEvents:
    """A fraction of the events is told twice, in a row: as one learns anew, after each list, what one knew already."""

    fraction: float
    plural: str = ""

    def repeat(self, chunk: bytes, rng: Random) -> bytes:
        lines = chunk.splitlines(keepends=True)
        return b"".join(line * 2 if rng.random() < self.fraction else line for line in lines)


Rule = FailedWrites | SlowWatches | RepeatedEvents


class Link:
    def __init__(self, transport: Transport, clock: Clock, random: Random, *, latency: bool = False) -> None:
        """`random` is the link's own: what the network does to a component must not change what that one draws."""
        self.rules: dict[Rule, None] = {}  # a set in order
        self._transport = transport
        self._clock = clock
        self._random = random
        self._latency = latency
        self._awake = _open_gate()
        self._connected = _open_gate()
        self._alive = True
        self._streams: dict[WatchStream, None] = {}
        self._to_be_expired: dict[str, None] = {}  # paths whose next watch begins too far in the past

    # Faults

    def sever(self) -> None:
        """The component is dead: nothing that its ending tasks still say reaches the server."""
        self._alive = False

    def mend(self) -> None:
        """There is a new process of the component, which has no connection yet."""
        self._alive = True
        self._to_be_expired.clear()
        self.resume()

    def pause(self) -> None:
        """The component's process is stopped (SIGSTOP, a frozen machine): what comes in waits, nothing goes out."""
        self._awake.clear()

    def resume(self) -> None:
        self._awake.set()

    def part(self) -> None:
        """No message passes either way, and nobody is told. Watches are given up after SILENCE_SECONDS."""
        self._connected.clear()
        for stream in self._streams:
            stream.break_at(asyncio.get_running_loop().time() + SILENCE_SECONDS)

    def join(self) -> None:
        """Messages that were held back arrive now."""
        self._connected.set()
        for stream in self._streams:
            stream.break_at(None)

    def break_watches(self, plural: str = "", *, expired: bool = False) -> int:
        """Ends watches and loses what is under way in them; the client resumes where it was. Returns how many.

        `expired`: the server has meanwhile forgotten that revision, so the client has to list everything anew, and is
        never told of what came and went in between.
        """
        broken = [stream for stream in self._streams if plural in ("", stream.plural)]
        for stream in broken:
            if expired:
                self._to_be_expired[stream.path] = None
            stream.break_at(asyncio.get_running_loop().time())
        return len(broken)

    # The transport

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
        await self._travel(timeout_seconds)
        refusal, takes_effect = self._refusal(method, path, body) if method in WRITES else (None, True)
        if takes_effect:
            response = await self._transport.request(
                method, path, query=query, headers=headers, body=body, timeout_seconds=timeout_seconds
            )
        await self._travel(timeout_seconds)
        return refusal or response

    def _refusal(self, method: str, path: str, body: bytes) -> tuple[Response | None, bool]:
        """What is answered in the server's place, and whether the request reaches it all the same."""
        for rule in self.rules:
            if (
                isinstance(rule, FailedWrites)
                and rule.concerns(method, path, body)
                and self._random.random() < rule.fraction
            ):
                error = APIError(
                    rule.reason,
                    f"{method} {path}: a fault that was asked for",
                    retry_after_seconds=_retry_after(rule.reason),
                )
                return _answer(error), rule.may_take_effect and self._random.random() < 0.5
        return None, True

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[ResponseStream]:
        await self._travel(CONNECT_SECONDS)
        if ("watch", "true") not in query:
            async with self._transport.stream(method, path, query=query, headers=headers, body=body) as answer:
                yield answer
            return
        if path in self._to_be_expired:
            del self._to_be_expired[path]
            yield _Refused(_answer(APIError("Expired", "too old resource version: a fault that was asked for")))
            return
        async with self._transport.stream(method, path, query=query, headers=headers, body=body) as answer:
            stream = WatchStream(self, answer, path)
            self._streams[stream] = None
            try:
                yield stream
            finally:
                del self._streams[stream]

    async def close(self) -> None:
        await self._transport.close()

    async def deliver(self, stream: "WatchStream", chunk: bytes) -> bytes:
        """A piece of a watch, when and as it arrives."""
        for rule in list(self.rules):
            if isinstance(rule, SlowWatches):
                await self._clock.sleep(rule.delay(stream, self._random))
        await self._travel(None)
        for rule in self.rules:
            if isinstance(rule, RepeatedEvents) and rule.plural in ("", stream.plural):
                chunk = rule.repeat(chunk, self._random)
        return chunk

    async def _travel(self, timeout_seconds: float | None) -> None:
        """One message's way, in either direction. Raises TransportError if it doesn't arrive in time."""
        if self._latency and self._random.random() < LATE_MESSAGES:
            await self._clock.sleep(self._random.random() * LATE_SECONDS)
        if not self._connected.is_set():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._connected.wait()
            except TimeoutError:
                raise TransportError(f"no answer in {timeout_seconds} seconds: the network is parted") from None
        if not self._awake.is_set():
            await self._awake.wait()
        if not self._alive:
            raise TransportError("the component is dead")


class WatchStream:
    """One watch, as it comes out of the link."""

    def __init__(self, link: Link, answer: ResponseStream, path: str) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.path = path
        self.plural = plural_of(path)
        self._link = link
        self._chunks = aiter(answer)
        self._breaks_at: float | None = None
        self._limit: asyncio.Timeout | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._breaks_at) as self._limit:
                return await self._link.deliver(self, await anext(self._chunks))
        except TimeoutError:
            raise TransportError(f"{self.path}: the connection broke") from None
        finally:
            self._limit = None

    def break_at(self, when: float | None) -> None:
        """The loop's time at which the connection breaks; None: not at all."""
        self._breaks_at = when
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(when)


class _Refused:
    """An answer to a watch that is an error."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = response.headers
        self._body = response.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def plural_of(path: str) -> str:
    """The resource that a path is about: `pods` of /api/v1/namespaces/default/pods/a."""
    parts = path.split("/")[3:] if path.startswith("/api/") else path.split("/")[4:]
    return parts[2] if len(parts) > 2 and parts[0] == "namespaces" else parts[0] if parts else ""


def _answer(error: APIError) -> Response:
    return Response(error.code, {"content-type": "application/json"}, orjson.dumps(error.to_status()))


def _retry_after(reason: str) -> int:
    return 1 if reason == "TooManyRequests" else 0


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate
