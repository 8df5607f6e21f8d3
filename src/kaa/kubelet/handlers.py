"""What probes and lifecycle hooks do: run a command in the container, ask over HTTP or gRPC, open a TCP port.

Each handler answers with a `Result` and never raises for what the container did: that is a failure with its text.
They run in the node's network namespace, as upstream's, and ask the pod's own address unless told another host.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import aiohttp

from kaa.api.objects import Object
from kaa.cri.cri import Message, RuntimeFault, RuntimeService
from kaa.kubelet.pod_actions import ProbeKind
from kaa.lib.clock import Clock

MAX_OUTPUT_BYTES = 10 * 1024
"""Of a probe's answer that an event shows; the rest is cut off."""

MAX_REDIRECTS = 10
USER_AGENT = "kube-probe/1.37"


@dataclass(frozen=True, slots=True)
class Result:
    """`outcome` of a handler: `error` means that it could not be found out, which counts neither way."""

    outcome: Literal["success", "failure", "error"]
    output: str = ""

    @property
    def succeeded(self) -> bool:
        return self.outcome == "success"


@dataclass(frozen=True, slots=True)
class Target:
    """The container that a handler is about."""

    container_id: str
    container: Object
    pod_ip: str


Handler = Callable[[RuntimeService, Target, Object, float], Awaitable[Result]]

Purpose = Literal["startup", "liveness", "readiness", "postStart", "preStop"]

PROBE_FIELDS: dict[ProbeKind, str] = {
    "startup": "startupProbe",
    "liveness": "livenessProbe",
    "readiness": "readinessProbe",
}


class Handlers(Protocol):
    """Which probes a container has, and how they and its hooks reach it."""

    def probe(self, pod: Object, container: Object, kind: ProbeKind) -> Object | None:
        """The container's probe of that kind, if it has one."""
        ...

    async def run(self, purpose: Purpose, target: Target, spec: Object, timeout_seconds: float) -> Result:
        """`spec` is a probe or a lifecycle handler: exactly one of the fields of HANDLERS."""
        ...


class NodeHandlers:
    """From the node's network namespace, and by the runtime's exec."""

    def __init__(self, runtime: RuntimeService) -> None:
        self._runtime = runtime

    def probe(self, pod: Object, container: Object, kind: ProbeKind) -> Object | None:
        return container.get(PROBE_FIELDS[kind])

    async def run(self, purpose: Purpose, target: Target, spec: Object, timeout_seconds: float) -> Result:
        return await run_handler(self._runtime, target, spec, timeout_seconds)


async def run_handler(runtime: RuntimeService, target: Target, spec: Object, timeout_seconds: float) -> Result:
    """Carries out what the spec names."""
    for name, handler in HANDLERS.items():
        if name in spec:
            return await handler(runtime, target, spec[name] or {}, timeout_seconds)
    return Result("error", f"missing handler for container {target.container['name']}")


async def run_exec(runtime: RuntimeService, target: Target, action: Object, timeout_seconds: float) -> Result:
    request: Message = {
        "container_id": target.container_id,
        "cmd": list(action.get("command") or ()),
        "timeout": max(int(timeout_seconds), 1),
    }
    try:
        answer = await runtime.exec_sync(request)
    except RuntimeFault as fault:
        if fault.code == "DeadlineExceeded":
            return Result("failure", f"command timed out: {fault.message}")
        return Result("error", fault.message)
    output = _as_bytes(answer.get("stdout", b"")) + _as_bytes(answer.get("stderr", b""))
    text = output[:MAX_OUTPUT_BYTES].decode(errors="replace")
    return Result("success" if answer.get("exit_code", 0) == 0 else "failure", text)


def _as_bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def port_number(container: Object, port: int | str) -> int | None:
    """A port given by number, or by the name of one of the container's."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    return next((int(p["containerPort"]) for p in container.get("ports") or () if p.get("name") == port), None)


def http_url(target: Target, action: Object) -> str | None:
    port = port_number(target.container, action.get("port", 0))
    if port is None:
        return None
    host = action.get("host") or target.pod_ip
    path = action.get("path") or "/"
    bracketed = f"[{host}]" if ":" in host else host
    scheme = (action.get("scheme") or "HTTP").lower()
    return f"{scheme}://{bracketed}:{port}{path if path.startswith('/') else '/' + path}"


async def run_http(runtime: RuntimeService, target: Target, action: Object, timeout_seconds: float) -> Result:
    url = http_url(target, action)
    if url is None:
        return Result("error", f"couldn't find port {action.get('port')} in container {target.container['name']}")
    # Certificates are not verified: the probe has no name to expect, and asks an address it knows to be the pod's.
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    headers |= {header["name"]: header.get("value", "") for header in action.get("httpHeaders") or ()}
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
            session.get(url, headers=headers, ssl=False, max_redirects=MAX_REDIRECTS) as answer,
        ):
            body = await answer.content.read(MAX_OUTPUT_BYTES)
    except TimeoutError:
        late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Result("failure", f'Get "{url}": {late}')
    except (aiohttp.ClientError, OSError) as error:
        return Result("failure", f'Get "{url}": {_connection_error(error)}')
    if 200 <= answer.status < 400:
        return Result("success", body.decode(errors="replace"))
    return Result("failure", f"HTTP probe failed with statuscode: {answer.status}")


def _connection_error(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        if isinstance(error.os_error, ConnectionRefusedError):
            reason = "connection refused"
        return f"dial tcp {error.host}:{error.port}: connect: {reason}"
    return str(error) or type(error).__name__


async def run_tcp(runtime: RuntimeService, target: Target, action: Object, timeout_seconds: float) -> Result:
    port = port_number(target.container, action.get("port", 0))
    if port is None:
        return Result("error", f"couldn't find port {action.get('port')} in container {target.container['name']}")
    host = action.get("host") or target.pod_ip
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result("failure", f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        reason = "connection refused" if isinstance(error, ConnectionRefusedError) else (error.strerror or str(error))
        return Result("failure", f"dial tcp {host}:{port}: connect: {reason}")
    writer.close()
    return Result("success")


async def run_grpc(runtime: RuntimeService, target: Target, action: Object, timeout_seconds: float) -> Result:
    # grpclib costs several megabytes, and few pods have a gRPC probe.
    from kaa.kubelet.grpc_health import check_health

    return await check_health(target.pod_ip, int(action["port"]), action.get("service") or "", timeout_seconds)


HANDLERS: dict[str, Handler] = {"exec": run_exec, "httpGet": run_http, "tcpSocket": run_tcp, "grpc": run_grpc}


async def run_hook(
    clock: Clock, handlers: Handlers, purpose: Purpose, target: Target, spec: Object, timeout_seconds: float
) -> Result:
    """A lifecycle hook: a handler, or a sleep."""
    if sleep := spec.get("sleep"):
        await clock.sleep(min(float(sleep["seconds"]), timeout_seconds))
        return Result("success")
    return await handlers.run(purpose, target, spec, timeout_seconds)
