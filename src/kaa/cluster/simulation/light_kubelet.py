"""What a light node answers to the API server: a container's log. Everything else it has not."""

from collections.abc import Callable

from aiohttp import web

from kaa.kubelet.server_auth import authenticate

LogOf = Callable[[str, str, str], str | None]
"""By namespace, pod and container; None when the node has no such container."""


def light_application(log_of: LogOf, *, authenticated: bool) -> web.Application:
    """`authenticated`: it is on a port, and for the API server only."""

    async def healthz(request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    async def logs(request: web.Request) -> web.StreamResponse:
        found = request.match_info
        text = log_of(found["namespace"], found["pod"], found["container"])
        if text is None:
            raise web.HTTPNotFound(text=f'pod "{found["pod"]}" does not exist')
        if request.query.get("previous") == "true":  # nothing is kept of an earlier container
            previous = f'previous terminated container "{found["container"]}" in pod "{found["pod"]}" not found'
            raise web.HTTPBadRequest(text=previous)
        tail = request.query.get("tailLines", "")
        lines = text.splitlines(keepends=True)
        shown = lines[len(lines) - int(tail) :] if tail.isdigit() and int(tail) < len(lines) else lines
        return web.Response(text="".join(line if line.endswith("\n") else line + "\n" for line in shown))

    async def no_streams(request: web.Request) -> web.StreamResponse:
        raise web.HTTPNotImplemented(text="a light node has no streams: use a simulated node with a kubelet")

    app = web.Application(middlewares=[authenticate] if authenticated else [])
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    for verb in ("exec", "attach", "portForward"):
        app.router.add_route("*", f"/{verb}/{{rest:.*}}", no_streams)
    return app
