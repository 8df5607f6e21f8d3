"""Rules for `metav1.Condition`, where a kind's status is checked for them."""

import re
from typing import Any

from kaa.api.validation.fields import duplicate, invalid, not_supported, required, too_long
from kaa.api.validation.names import qualified_name
from kaa.api.validation.walker import Errors

STATUSES = ("False", "True", "Unknown")
MAX_REASON_BYTES = 1024
MAX_MESSAGE_BYTES = 32 * 1024

_reason = re.compile("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
NOT_A_REASON = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'"
)


def check_conditions(conditions: Any, path: str) -> Errors:
    errors: Errors = []
    seen = set()
    for i, condition in enumerate(conditions or ()):
        if condition.get("type") in seen:
            errors.append(duplicate(f"{path}[{i}]", condition.get("type")))
        seen.add(condition.get("type"))
        errors += _check(condition, f"{path}[{i}]")
    return errors


def _check(condition: Any, path: str) -> Errors:
    errors: Errors = []
    kind, status, reason = (condition.get(field) or "" for field in ("type", "status", "reason"))
    if not kind:
        errors.append(required(f"{path}.type", "is required"))
    errors += [invalid(f"{path}.type", kind, problem) for problem in (qualified_name(kind) if kind else ())]
    if not status:
        errors.append(required(f"{path}.status"))
    elif status not in STATUSES:
        errors.append(not_supported(f"{path}.status", status, STATUSES))
    if (condition.get("observedGeneration") or 0) < 0:
        why = "must be greater than or equal to zero"
        errors.append(invalid(f"{path}.observedGeneration", condition["observedGeneration"], why))
    if not condition.get("lastTransitionTime"):
        errors.append(required(f"{path}.lastTransitionTime"))
    if not reason:
        errors.append(required(f"{path}.reason"))
    elif not _reason.fullmatch(reason):
        errors.append(invalid(f"{path}.reason", reason, NOT_A_REASON))
    if len(reason.encode()) > MAX_REASON_BYTES:
        errors.append(too_long(f"{path}.reason", MAX_REASON_BYTES))
    if len((condition.get("message") or "").encode()) > MAX_MESSAGE_BYTES:
        errors.append(too_long(f"{path}.message", MAX_MESSAGE_BYTES))
    return errors
