"""Connecting to a pod's containers through its kubelet: log, exec, attach, port-forward.

The server only finds the kubelet and translates the path: what flows is the kubelet's and the client's affair.

    pods/x/log?container=c&follow=true          GET  /containerLogs/<ns>/x/c?follow=true
    pods/x/exec?command=ls&stdout=true          any  /exec/<ns>/x/<container>?command=ls&output=1
    pods/x/attach?stdin=true                    any  /attach/<ns>/x/<container>?input=1
    pods/x/portforward?ports=80                 any  /portForward/<ns>/x?port=80
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from kaa.api.errors import APIError, FieldError, bad_request, invalid, not_found
from kaa.api.objects import Object, name_of
from kaa.api.resource import Resource
from kaa.server.backends import BUFFER_BYTES, Backends, Target
from kaa.server.chain import Handler, Reader
from kaa.server.request import Attributes, Request, Response
from kaa.server.request_info import parse_int64
from kaa.server.upgrade import is_upgrade, pass_through

if TYPE_CHECKING:
    import aiohttp

TRUE = ("", "1", "t", "T", "true", "TRUE", "True")

LOG_FLAGS = ("follow", "previous", "timestamps")
LOG_NUMBERS = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
"""Parameter -> the least value it may have."""
LOG_TEXTS = ("sinceTime", "stream")

STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""The API's name of a flag -> the kubelet's."""


class PodStreaming:
    def __init__(self, reader: Reader, backends: Backends) -> None:
        self._reader = reader
        self._backends = backends

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("Pod", "log"): self.log,
            ("Pod", "exec"): self.exec,
            ("Pod", "attach"): self.attach,
            ("Pod", "portforward"): self.port_forward,
        }

    async def log(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        pod = self._pod(attributes)
        query = log_query(request, attributes.name)
        container = choose_container(pod, request.parameter("container"))
        if not pod["spec"].get("nodeName"):
            return Response(200, b"", "text/plain")
        path = _path("containerLogs", attributes, container, query=query)
        from kaa.server.backend_http import Body

        answer = await self._backends.request("GET", self._kubelet(pod), path, {})
        if answer.status >= 300:
            raise await _log_error(answer, attributes)
        return Response(200, content_type="text/plain", chunks=Body(answer))

    async def exec(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        command = [("command", value) for key, value in request.query if key == "command"]
        if not command:
            raise bad_request("you must specify at least one command to execute")
        return await self._connect("exec", request, attributes, command)

    async def attach(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        return await self._connect("attach", request, attributes, [])

    async def _connect(
        self, verb: str, request: Request, attributes: Attributes, query: list[tuple[str, str]]
    ) -> Response:
        pod = self._pod(attributes)
        container = choose_container(pod, request.parameter("container"))
        flags = [(kubelets, "1") for api, kubelets in STREAMS.items() if _flag(request, api)]
        if not any(name != "tty" for name, _ in flags):
            raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
        path = _path(verb, attributes, container, query=[*query, *flags])
        return await self._pass_through(request, pod, path)

    async def port_forward(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        ports = [("port", value) for key, value in request.query if key == "ports"]
        return await self._pass_through(request, self._pod(attributes), _path("portForward", attributes, query=ports))

    async def _pass_through(self, request: Request, pod: Object, path: str) -> Response:
        if not is_upgrade(request):
            raise bad_request("Upgrade request required")
        return await pass_through(request, self._backends, self._kubelet(pod), path)

    def _pod(self, attributes: Attributes) -> Object:
        pod = self._reader.get("Pod", attributes.name, attributes.namespace)
        if pod is None:
            raise not_found("pods", "", attributes.name)
        return pod

    def _kubelet(self, pod: Object) -> Target:
        node = pod["spec"].get("nodeName", "")
        if not node:
            raise bad_request(f"pod {name_of(pod)} does not have a host assigned")
        return self._backends.kubelet(node)


def choose_container(pod: Object, wanted: str) -> str:
    """The container that is asked for, or the only one. Raises BadRequest."""
    spec, pod_name = pod["spec"], name_of(pod)
    names, init_names, ephemeral_names = (
        [c["name"] for c in spec.get(field) or ()] for field in ("containers", "initContainers", "ephemeralContainers")
    )
    if wanted:
        if wanted not in (*names, *init_names, *ephemeral_names):
            raise bad_request(f"container {wanted} is not valid for pod {pod_name}")
        return wanted
    if len(names) == 1:
        return str(names[0])
    message = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
    if init_names:
        message += f" or one of the init containers: [{' '.join(init_names)}]"
    raise bad_request(message)


def log_query(request: Request, name: str) -> list[tuple[str, str]]:
    """The kubelet's parameters. Raises Invalid for numbers out of range."""
    query = [(flag, "true") for flag in LOG_FLAGS if _flag(request, flag)]
    errors: list[FieldError] = []
    for field, least in LOG_NUMBERS.items():
        text = request.parameter(field)
        if not text:
            continue
        if parse_int64(text) < least:
            why = f"must be greater than {least - 1}" if least else "must be greater than or equal to 0"
            errors.append(FieldError("FieldValueInvalid", field, f"Invalid value: {text}: {why}"))
        query.append((field, text))
    query += [(field, value) for field in LOG_TEXTS if (value := request.parameter(field))]
    if request.parameter("sinceSeconds") and request.parameter("sinceTime"):
        why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        errors.append(FieldError("FieldValueForbidden", "sinceSeconds", why))
    if errors:
        raise invalid("PodLogOptions", "", name, errors)
    return query


def _flag(request: Request, name: str) -> bool:
    return any(key == name and value in TRUE for key, value in request.query)


def _path(verb: str, attributes: Attributes, *more: str, query: list[tuple[str, str]]) -> str:
    parts = [verb, attributes.namespace, attributes.name, *more]
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{path}?{urlencode(query)}" if query else path


async def _log_error(answer: "aiohttp.ClientResponse", attributes: Attributes) -> APIError:
    """What the kubelet says against it, in the API's form."""
    async with answer:
        text = (await answer.content.read(BUFFER_BYTES)).decode(errors="replace").strip()
    reasons = {400: "BadRequest", 404: "NotFound", 403: "Forbidden"}
    reason = reasons.get(answer.status, "InternalError")
    if reason == "InternalError":
        text = f"Internal error occurred: {text}"
    return APIError(reason, text, name=attributes.name, kind="pods")
