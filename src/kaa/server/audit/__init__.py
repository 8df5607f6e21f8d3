"""The audit log: what was asked, by whom, and what came of it, as audit.k8s.io/v1 Events, one JSON line each.

A request has one `Record` from the moment its user is known. Each *stage* writes an event with all that is known then:

    RequestReceived -> ResponseComplete                        most requests
    RequestReceived -> ResponseStarted -> ResponseComplete     watches, logs, exec: when it begins, and when it ends

    record = audit.begin(request, info)       # None: the policy does not want this one
    response = record.answer(response)        # writes what follows, now or when the stream ends

What a stream carries is not logged. Request and response bodies are those of JSON and protobuf. Upstream's other
backend, a webhook that gets the events, is left out.
"""

from collections.abc import AsyncIterator
from typing import Any

import orjson

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.api.protobuf import decode_object
from kaa.lib.clock import Clock, rfc3339_micro
from kaa.server.audit.log import AuditLog
from kaa.server.audit.policy import (
    METADATA,
    NONE,
    PANIC,
    REQUEST_RECEIVED,
    RESPONSE_COMPLETE,
    RESPONSE_STARTED,
    Decision,
    Policy,
)
from kaa.server.request import Request, Response, User
from kaa.server.request_info import RequestInfo

MAX_AUDIT_ID_CHARACTERS = 64
"""A longer Audit-ID header is cut."""

STATUS_FIELDS = ("status", "message", "reason")

IN_REFERENCE = ("namespace", "name", "uid", "resourceVersion")
"""Metadata of a sent object that its reference has, too."""


class Audit:
    def __init__(self, policy: Policy, log: AuditLog, clock: Clock) -> None:
        self._policy = policy
        self._log = log
        self._clock = clock

    async def run(self) -> None:
        await self._log.run()

    def begin(self, request: Request, info: RequestInfo) -> "Record | None":
        """Called when the request's user is known, before he acts as another."""
        decision = self._policy.decide(request.user, request.path, info)
        if decision.level == NONE:
            return None
        record = Record(self._log, self._clock, decision, request, info)
        record.tell(REQUEST_RECEIVED)
        return record

    def not_authenticated(self, request: Request, info: RequestInfo, error: APIError) -> None:
        """Of a request whose credentials are wrong nothing is told but that it came."""
        decision = self._policy.decide(request.user, request.path, info)
        if decision.level != NONE:
            record = Record(self._log, self._clock, Decision(METADATA, decision.omit_stages), request, info)
            record.event["responseStatus"] = _status_of(error.to_status())
            record.tell(RESPONSE_STARTED)


class Record:
    """One request's event, which grows from stage to stage."""

    def __init__(self, log: AuditLog, clock: Clock, decision: Decision, request: Request, info: RequestInfo) -> None:
        self._log = log
        self._clock = clock
        self._decision = decision
        self.audit_id = request.headers.get("audit-id", "")[:MAX_AUDIT_ID_CHARACTERS] or clock.uuid()
        self.event = _event(self.audit_id, decision.level, request, info, rfc3339_micro(clock.now()))
        self._request = request
        request.answer_headers["audit-id"] = self.audit_id

    def impersonates(self, user: User) -> None:
        self.event["impersonatedUser"] = _user(user)

    def authorized(self, allowed: bool, reason: str) -> None:
        decision = "allow" if allowed else "forbid"
        annotations = {"authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": reason}
        self.event.setdefault("annotations", {}).update(annotations)

    def tell(self, stage: str) -> None:
        if stage in self._decision.omit_stages:
            return
        moment = rfc3339_micro(self._clock.now())
        event = {**self.event, "stage": stage, "stageTimestamp": moment}
        self._log.put(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))

    def answer(self, response: Response, *, panicked: bool = False) -> Response:
        """Writes the stages that are left: of a stream the last when it has ended."""
        request = self._request
        if request.body and request.method in ("POST", "PUT"):
            self._complete_reference(_decoded(request.body, request.headers.get("content-type", "")))
        if self._decision.tells_request and request.body:
            self._put_object("requestObject", request.body, request.headers.get("content-type", ""))
        self.event["responseStatus"] = {"metadata": {}, "code": 101 if response.hijacked else response.status}
        if response.chunks is not None:
            self.tell(RESPONSE_STARTED)
            response.chunks = _ToldStream(self, response.chunks)
            return response
        if response.status >= 400:
            self.event["responseStatus"] = _status_of(_decoded(response.body, response.content_type), response.status)
        if self._decision.tells_response and response.body:
            self._put_object("responseObject", response.body, response.content_type)
        if response.hijacked:
            self.tell(RESPONSE_STARTED)
        self.tell(PANIC if panicked else RESPONSE_COMPLETE)
        return response

    def abandon(self) -> None:
        """The client has gone before there was an answer."""
        self.tell(RESPONSE_COMPLETE)

    def _complete_reference(self, sent: Any) -> None:
        """With what the object says of itself: its URL does not name one that is being made."""
        metadata = sent.get("metadata") if isinstance(sent, dict) else None
        if not isinstance(metadata, dict) or "objectRef" not in self.event:
            return
        told = {field: metadata[field] for field in IN_REFERENCE if isinstance(metadata.get(field), str)}
        self.event["objectRef"] = {**told, **self.event["objectRef"]}

    def _put_object(self, field: str, body: bytes, content_type: str) -> None:
        obj = _decoded(body, content_type)
        if obj is not None:
            self.event[field] = without_managed_fields(obj) if self._decision.omit_managed_fields else obj


class _ToldStream:
    """A stream whose end is told, once, however it ends, and also if it never began."""

    def __init__(self, record: Record, chunks: AsyncIterator[bytes]) -> None:
        self._record = record
        self._chunks = chunks
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._end()
            raise

    async def aclose(self) -> None:
        try:
            close = getattr(self._chunks, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._record.tell(RESPONSE_COMPLETE)


def _event(audit_id: str, level: str, request: Request, info: RequestInfo, received: str) -> Object:
    query = f"?{request.raw_query}" if request.raw_query else ""
    event = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level,
        "auditID": audit_id,
        "stage": REQUEST_RECEIVED,
        "requestURI": request.raw_uri or request.path + query,
        "verb": info.verb,
        "user": _user(request.user),
        "sourceIPs": _source_addresses(request),
        "userAgent": request.headers.get("user-agent", ""),
        "objectRef": _object_reference(info) if info.is_resource else None,
        "requestReceivedTimestamp": received,
    }
    return {field: value for field, value in event.items() if value}


def _user(user: User) -> Object:
    extra = {key: list(values) for key, values in user.extra.items()}
    told = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
    return {field: value for field, value in told.items() if value}


def _source_addresses(request: Request) -> list[str]:
    """Those that proxies name, in their order, and the peer's."""
    named = [address.strip() for address in request.headers.get("x-forwarded-for", "").split(",")]
    return [address for address in dict.fromkeys([*named, request.client_address]) if address]


def _object_reference(info: RequestInfo) -> Object:
    reference = {
        "resource": info.plural,
        "namespace": info.namespace,
        "name": info.name,
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {field: value for field, value in reference.items() if value}


def _status_of(status: Any, code: int = 0) -> Object:
    """What of a Status is told: not its details."""
    told: Object = {"metadata": {}}
    if isinstance(status, dict) and status.get("kind") == "Status":
        told.update({field: status[field] for field in STATUS_FIELDS if status.get(field)})
        code = code or status.get("code", 0)
    return {**told, "code": code}


def _decoded(body: bytes, content_type: str) -> Any:
    """The object in a body; None if it is in no form that we log, or broken."""
    try:
        if "json" in content_type or not content_type:
            return orjson.loads(body)
        if "protobuf" in content_type:
            return decode_object(body, "", "")
    except ValueError:
        pass  # whoever handles the request says what is wrong with it
    return None


def without_managed_fields(obj: Any) -> Any:
    """The object, or the list with all its items, without `metadata.managedFields`."""
    if not isinstance(obj, dict):
        return obj
    told = dict(obj)
    if isinstance(obj.get("metadata"), dict):
        told["metadata"] = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if isinstance(obj.get("items"), list):
        told["items"] = [without_managed_fields(item) for item in obj["items"]]
    return told
