"""Kubernetes' errors: the reasons, their HTTP codes, and the Status object that carries one over the wire.

`APIError` is raised where a fault of the caller's (or of the world) is found, and translated once at the edge: by
the server into a Status, by the client back into the same `APIError`. Texts follow upstream's, because tools read
them. Source: metav1.Status and metav1.StatusReason (API conventions, "Response Status Kind").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kaa.api.objects import Object

CODES: dict[str, int] = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "NotAcceptable": 406,
    "AlreadyExists": 409,
    "Conflict": 409,
    "Expired": 410,
    "Gone": 410,
    "RequestEntityTooLarge": 413,
    "UnsupportedMediaType": 415,
    "Invalid": 422,
    "TooManyRequests": 429,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "ServerTimeout": 504,
    "Timeout": 504,
    "StoreReadError": 500,
}
"""The HTTP code of each StatusReason."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One StatusCause: `reason` is e.g. FieldValueRequired, `field` a path such as `spec.containers[0].image`."""

    reason: str
    message: str
    field: str = ""

    def to_object(self) -> Object:
        cause = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in cause.items() if value}


class APIError(Exception):
    """A failed request. `reason` is a StatusReason of `CODES`; `code` follows from it unless given.

    `continue_token` goes on with a list that is Expired, inconsistently.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        causes: Sequence[Cause] = (),
        name: str = "",
        group: str = "",
        kind: str = "",
        uid: str = "",
        retry_after_seconds: int = 0,
        continue_token: str = "",
        code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.causes = tuple(causes)
        self.name, self.group, self.kind, self.uid = name, group, kind, uid
        self.retry_after_seconds = retry_after_seconds
        self.continue_token = continue_token
        self.code = code if code is not None else CODES.get(reason, 500)

    def to_status(self) -> Object:
        details: Object = {
            "name": self.name,
            "group": self.group,
            "kind": self.kind,
            "uid": self.uid,
            "causes": [cause.to_object() for cause in self.causes],
            "retryAfterSeconds": self.retry_after_seconds,
        }
        details = {key: value for key, value in details.items() if value}
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": details,
            "code": self.code,
        }
        return {key: value for key, value in status.items() if value or key == "metadata"}

    @classmethod
    def from_status(cls, status: dict[str, Any], code: int) -> "APIError":
        """The error that a Status names; `code` is the response's, for a body that lacks one."""
        details = status.get("details") or {}
        return cls(
            status.get("reason") or "Unknown",
            status.get("message") or f"the server answered {code}",
            causes=[
                Cause(c.get("reason", ""), c.get("message", ""), c.get("field", ""))
                for c in details.get("causes") or ()
            ],
            name=details.get("name", ""),
            group=details.get("group", ""),
            kind=details.get("kind", ""),
            uid=details.get("uid", ""),
            retry_after_seconds=details.get("retryAfterSeconds", 0),
            continue_token=(status.get("metadata") or {}).get("continue", ""),
            code=status.get("code") or code,
        )


def qualified(resource: str, group: str) -> str:
    """`deployments.apps`, or `pods` for the core group: how messages name a resource."""
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, group: str, name: str) -> APIError:
    message = f'{qualified(resource, group)} "{name}" not found'
    return APIError("NotFound", message, name=name, group=group, kind=resource)


def already_exists(resource: str, group: str, name: str) -> APIError:
    message = f'{qualified(resource, group)} "{name}" already exists'
    return APIError("AlreadyExists", message, name=name, group=group, kind=resource)


OPTIMISTIC_LOCK = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: str, group: str, name: str, why: str = OPTIMISTIC_LOCK) -> APIError:
    message = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
    return APIError("Conflict", message, name=name, group=group, kind=resource)


def bad_request(message: str) -> APIError:
    return APIError("BadRequest", message)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One violated rule. `reason` is a CauseType, e.g. FieldValueInvalid; `detail` the sentence after it.

    The text on the wire is `<field>: <title>: <detail>`, with the bad value between where upstream shows it
    (`spec.replicas: Invalid value: -1: must be greater than or equal to 0`).
    """

    reason: str
    field: str
    message: str  # what follows `field: `, title and value included

    def to_cause(self) -> Cause:
        return Cause(self.reason, self.message, self.field)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> APIError:
    """All violated rules at once, in upstream's sentence: `Pod "x" is invalid: spec.y: Required value`."""
    texts = list(dict.fromkeys(str(e) for e in errors))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {listed}'
    return APIError("Invalid", message, causes=[e.to_cause() for e in errors], name=name, group=group, kind=kind)
