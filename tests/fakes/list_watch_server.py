"""A small real API server over loopback: lists in pages, watches with bookmarks, writes with conflicts.

It knows no kinds: any path is a collection of JSON objects. A test can make it fail, end its watches and forget its
history, which a real server does at times of its own choosing.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

Object = dict[str, Any]


def status(code: int, reason: str, message: str = "") -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": code, "reason": reason, "message": message}


class ListWatchServer:
    def __init__(self) -> None:
        self.url = ""
        self.revision = 100
        self.compacted = 100
        self.objects: dict[str, Object] = {}  # by path
        self.history: list[tuple[int, str, bytes]] = []  # (revision, path, watch line)
        self.failures: deque[web.Response] = deque()  # answers to the next requests
        self.requests: list[str] = []  # "GET /path?query"
        self.headers: list[dict[str, str]] = []
        self.client_names: list[str] = []
        self._changed = asyncio.Condition()
        self._epoch = 0  # counts how often watches were ended

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator["ListWatchServer"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        bound = runner.addresses[0][1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{bound}"
        try:
            yield self
        finally:
            await self.end_watches()
            await runner.cleanup()

    # What happens on the server, told by the test

    async def put(self, path: str, obj: Object) -> Object:
        """Creates or replaces the object at that path, as if somebody else had."""
        self.revision += 1
        kind = "MODIFIED" if path in self.objects else "ADDED"
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[path] = obj
        await self._tell(kind, path, obj)
        return obj

    async def delete(self, path: str) -> Object:
        self.revision += 1
        obj = self.objects.pop(path)
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        await self._tell("DELETED", path, obj)
        return obj

    async def bookmark(self) -> None:
        obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.revision)}}
        await self._tell("BOOKMARK", "", obj)

    async def compact(self) -> None:
        """Forgets all history and ends every watch."""
        self.compacted = self.revision
        self.history.clear()
        await self.end_watches()

    async def end_watches(self) -> None:
        async with self._changed:
            self._epoch += 1
            self._changed.notify_all()

    def fail(self, code: int, reason: str, times: int = 1) -> None:
        for _ in range(times):
            self.failures.append(web.json_response(status(code, reason), status=code))

    async def watched(self, count: int = 1) -> None:
        """Until that many watches have begun."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: sum("watch=true" in r for r in self.requests) >= count)

    async def _tell(self, kind: str, path: str, obj: Object) -> None:
        line = orjson.dumps({"type": kind, "object": obj}) + b"\n"
        async with self._changed:
            self.history.append((self.revision, path, line))
            self._changed.notify_all()

    # Requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        certificate = request.get_extra_info("peercert")
        if certificate:
            self.client_names.append(dict(pair[0] for pair in certificate["subject"]).get("commonName", ""))
        if self.failures:
            return self.failures.popleft()
        if request.query.get("watch"):
            return await self._watch(request)
        body = orjson.loads(await request.read() or b"{}")
        path = request.path
        match request.method:
            case "GET" if path in self.objects:
                return web.json_response(self.objects[path])
            case "GET" if path.rsplit("/", 1)[-1].endswith("s"):
                return self._list(request)
            case "POST":
                path = f"{path}/{body['metadata']['name']}"
                if path in self.objects:
                    return web.json_response(status(409, "AlreadyExists"), status=409)
                return web.json_response(await self.put(path, body), status=201)
            case "PUT" | "PATCH" if path in self.objects:
                now = self.objects[path]
                wanted = body["metadata"].get("resourceVersion") if request.method == "PUT" else None
                if wanted and wanted != now["metadata"]["resourceVersion"]:
                    return web.json_response(status(409, "Conflict"), status=409)
                return web.json_response(await self.put(path, body if request.method == "PUT" else {**now, **body}))
            case "DELETE" if path in self.objects:
                return web.json_response(await self.delete(path))
        return web.json_response(status(404, "NotFound", f"{path} not found"), status=404)

    def _list(self, request: web.Request) -> web.Response:
        prefix = request.path + "/"
        paths = sorted(path for path in self.objects if path.startswith(prefix))
        start = int(request.query.get("continue", 0))
        limit = int(request.query.get("limit", 0)) or len(paths) or 1
        metadata = {"resourceVersion": str(self.revision)}
        if start + limit < len(paths):
            metadata["continue"] = str(start + limit)
        items = [self.objects[path] for path in paths[start : start + limit]]
        return web.json_response({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        answer = web.StreamResponse(headers={"content-type": "application/json"})
        await answer.prepare(request)
        if since < self.compacted:
            gone = {"type": "ERROR", "object": status(410, "Expired", "too old resource version")}
            await answer.write(orjson.dumps(gone) + b"\n")
            return answer
        epoch, told = self._epoch, 0
        async with self._changed:
            self._changed.notify_all()
        while True:
            async with self._changed:
                while self._epoch == epoch and told >= len(self.history):
                    await self._changed.wait()
                if self._epoch != epoch:
                    return answer
                lines = self.history[told:]
                told = len(self.history)
            for revision, path, line in lines:
                if revision > since and (not path or path.startswith(request.path + "/")):
                    await answer.write(line)
