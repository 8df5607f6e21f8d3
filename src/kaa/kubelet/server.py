"""The kubelet's HTTP API on port 10250: logs, exec, attach, port-forward, statistics. Its one client is the API server.

GET /containerLogs/<namespace>/<pod>/<container>     any /exec|/attach/<namespace>/<pod>/<container>
GET /pods, /stats/summary, /metrics, /metrics/resource, /healthz     any /portForward/<namespace>/<pod>
"""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from kaa.api.objects import Object
from kaa.cri.cri import Message, RuntimeFault
from kaa.kubelet.container_statuses import STATUS_FIELDS
from kaa.kubelet.log_reader import log_options, read_log
from kaa.kubelet.options import KubeletOptions
from kaa.kubelet.pod_runtime import RuntimeContainer
from kaa.kubelet.pod_worker import PodWorker
from kaa.kubelet.server_auth import authenticate, server_context
from kaa.kubelet.stats import kubelet_metrics, resource_metrics, summary
from kaa.kubelet.stream_proxy import pass_through

if TYPE_CHECKING:
    from kaa.kubelet.loop import Kubelet

PULLING = ("ErrImagePull", "ImagePullBackOff")

SHUTDOWN_SECONDS = 1.0
"""Given to requests under way when the kubelet ends; followers of logs would stay for ever."""


async def serve(kubelet: "Kubelet") -> None:
    """Until cancelled."""
    await serve_application(application(kubelet, authenticated=True), kubelet.options)


async def serve_application(app: web.Application, options: KubeletOptions) -> None:
    """The same of any application that answers as a kubelet does."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, options.node_ip, options.port, ssl_context=server_context(options), reuse_address=True
        )
        await site.start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def application(kubelet: "Kubelet", *, authenticated: bool) -> web.Application:
    server = KubeletServer(kubelet)
    app = web.Application(middlewares=[authenticate] if authenticated else [])
    app.router.add_get("/healthz", server.healthz)
    app.router.add_get("/pods", server.pods)
    app.router.add_get("/stats/summary", server.stats)
    app.router.add_get("/metrics", server.metrics)
    app.router.add_get("/metrics/resource", server.resource_metrics)
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", server.logs)
    app.router.add_route("*", "/exec/{namespace}/{pod}/{container}", server.exec)
    app.router.add_route("*", "/attach/{namespace}/{pod}/{container}", server.attach)
    app.router.add_route("*", "/portForward/{namespace}/{pod}", server.port_forward)
    return app


class KubeletServer:
    def __init__(self, kubelet: "Kubelet") -> None:
        self._kubelet = kubelet

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    async def pods(self, request: web.Request) -> web.StreamResponse:
        items = [self._kubelet.current(worker.pod) for worker in self._kubelet.workers.values()]
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def stats(self, request: web.Request) -> web.StreamResponse:
        stats = (await self._kubelet.runtime.list_container_stats({})).get("stats") or []
        body = orjson.dumps(summary(self._kubelet.options.node_name, stats))
        return web.Response(body=body, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        workers = self._kubelet.workers.values()
        running = sum(container.is_running for worker in workers for container in worker.seen.containers)
        return web.Response(text=kubelet_metrics(len(workers), running))

    async def resource_metrics(self, request: web.Request) -> web.StreamResponse:
        stats = (await self._kubelet.runtime.list_container_stats({})).get("stats") or []
        return web.Response(text=resource_metrics(stats))

    # Logs

    async def logs(self, request: web.Request) -> web.StreamResponse:
        worker, name = self._worker(request), request.match_info["container"]
        try:
            options = log_options(dict(request.query), self._kubelet.clock.now())
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        container = self._logged(worker, name, previous=request.query.get("previous") == "true")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)

        def is_running() -> bool:
            found = next((c for c in worker.seen.containers if c.id == container.id), None)
            return found is not None and found.is_running

        async for text in read_log(Path(container.log_path), options, self._kubelet.clock, is_running):
            await response.write(text)
        await response.write_eof()
        return response

    def _logged(self, worker: PodWorker, name: str, *, previous: bool) -> RuntimeContainer:
        """The container whose log is meant. Raises HTTPBadRequest with upstream's text."""
        pod_name = worker.pod["metadata"]["name"]
        status = _container_status(self._kubelet.current(worker.pod), name)
        if previous:
            ended = ((status or {}).get("lastState") or {}).get("terminated") or {}
            found = next((c for c in worker.seen.containers if ended.get("containerID", "").endswith(c.id)), None)
            if found is None:
                text = f'previous terminated container "{name}" in pod "{pod_name}" not found'
                raise web.HTTPBadRequest(text=text)
            return found
        latest = worker.seen.latest(name)
        if latest is None or latest.state == "CONTAINER_CREATED":
            reason = (((status or {}).get("state") or {}).get("waiting") or {}).get("reason", "ContainerCreating")
            why = "trying and failing to pull image" if reason in PULLING else f"waiting to start: {reason}"
            text = f'container "{name}" in pod "{pod_name}" is {why}'
            raise web.HTTPBadRequest(text=text)
        return latest

    # Streams

    async def exec(self, request: web.Request) -> web.StreamResponse:
        message = {**self._streams(request), "cmd": request.query.getall("command", [])}
        return await pass_through(request, await _url(self._kubelet.runtime.exec(message)))

    async def attach(self, request: web.Request) -> web.StreamResponse:
        return await pass_through(request, await _url(self._kubelet.runtime.attach(self._streams(request))))

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        sandbox = self._worker(request).seen.sandbox
        if sandbox is None or not sandbox.is_ready:
            raise web.HTTPNotFound(text="the pod's sandbox is not running")
        ports = [int(port) for port in request.query.getall("port", []) if port.isdigit()]
        message = {"pod_sandbox_id": sandbox.id, "port": ports}
        return await pass_through(request, await _url(self._kubelet.runtime.port_forward(message)))

    def _streams(self, request: web.Request) -> Object:
        name = request.match_info["container"]
        running = self._worker(request).seen.latest(name)
        if running is None or not running.is_running:
            raise web.HTTPNotFound(text=f'container not found ("{name}")')
        flags = {field: request.query.get(field) in ("1", "true") for field in ("input", "output", "error", "tty")}
        return {
            "container_id": running.id,
            "stdin": flags["input"],
            "stdout": flags["output"],
            "stderr": flags["error"] and not flags["tty"],  # a terminal has one stream
            "tty": flags["tty"],
        }

    def _worker(self, request: web.Request) -> PodWorker:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        worker = self._kubelet.worker_named(namespace, name)
        if worker is None:
            raise web.HTTPNotFound(text=f'pod "{name}" does not exist')
        return worker


async def _url(call: Awaitable[Message]) -> str:
    try:
        url: str = (await call)["url"]
    except RuntimeFault as fault:
        raise web.HTTPInternalServerError(text=fault.message) from fault
    return url


def _container_status(pod: Object, name: str) -> Object | None:
    status = pod.get("status") or {}
    known = (entry for field in STATUS_FIELDS.values() for entry in status.get(field) or ())
    return next((entry for entry in known if entry["name"] == name), None)
