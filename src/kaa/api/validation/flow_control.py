"""Rules for flow schemas and priority levels."""

from math import log2
from typing import Any

from kaa.api.objects import Object
from kaa.api.validation.fields import forbidden, invalid, required
from kaa.api.validation.names import path_segment
from kaa.api.validation.walker import REQUIRED, Check, Errors, compile_rules, one_of, valid

MAX_PRECEDENCE = 10_000
MAX_QUEUES = 10_000_000
MAX_HAND_BITS = 60
"""A hand is dealt from one 64-bit hash: more choices than that would not be even."""

SUBJECTS = {"User": "user", "Group": "group", "ServiceAccount": "serviceAccount"}


def positive(value: Any, path: str, errors: Errors) -> None:
    if value <= 0:
        errors.append(invalid(path, value, "must be positive"))


def non_negative(value: Any, path: str, errors: Errors) -> None:
    if value < 0:
        errors.append(invalid(path, value, "must be a non-negative integer"))


def percentage(value: Any, path: str, errors: Errors) -> None:
    if not 0 <= value <= 100:
        errors.append(invalid(path, value, "must be between 0 and 100, inclusive"))


def precedence(value: Any, path: str, errors: Errors) -> None:
    if value <= 0:
        errors.append(invalid(path, value, "must be a positive value"))
    if value > MAX_PRECEDENCE:
        errors.append(invalid(path, value, f"must not be greater than {MAX_PRECEDENCE}"))


def some(field: str, what: str) -> Check:
    """The list must have values, and `*` stands alone."""

    def check(rule: Any, path: str, errors: Errors) -> None:
        values = rule.get(field) or []
        if not values:
            errors.append(required(f"{path}.{field}", f"{field} must contain at least one value"))
        elif "*" in values and len(values) > 1:
            errors.append(invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}"))

    return check


def subject_of_its_kind(subject: Any, path: str, errors: Errors) -> None:
    kind = subject.get("kind")
    for name, field in SUBJECTS.items():
        if name == kind and not subject.get(field):
            errors.append(required(f"{path}.{field}", f"{field} is required when subject kind is '{name}'"))
        if name != kind and subject.get(field):
            errors.append(forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{name}'"))


def scope(rule: Any, path: str, errors: Errors) -> None:
    if not rule.get("clusterScope") and not rule.get("namespaces"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(f"{path}.namespaces", detail))


def some_requests(rule: Any, path: str, errors: Errors) -> None:
    if not rule.get("subjects"):
        errors.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        errors.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))


NAMED = {"name": REQUIRED}
FLOW_SCHEMA_RULES = compile_rules(
    {
        "spec": {
            "priorityLevelConfiguration": {"name": valid(path_segment)},
            "matchingPrecedence": precedence,
            "distinguisherMethod": {"type": (REQUIRED, one_of("ByNamespace", "ByUser"))},
            "rules[]": {
                "": some_requests,
                "subjects[]": {
                    "": subject_of_its_kind,
                    "kind": (REQUIRED, one_of("Group", "ServiceAccount", "User")),
                    "user": NAMED,
                    "group": NAMED,
                    "serviceAccount": {"name": REQUIRED, "namespace": REQUIRED},
                },
                "resourceRules[]": {
                    "": (some("verbs", "verbs"), some("apiGroups", "api groups"), some("resources", "resources"), scope)
                },
                "nonResourceRules[]": {
                    "": (some("verbs", "verbs"), some("nonResourceURLs", "non-resource URLs")),
                },
            },
        }
    },
    root=True,
)


def validate_flow_schema(schema: Object, old: Object | None) -> Errors:
    errors: Errors = []
    spec = schema.get("spec") or {}
    if not (spec.get("priorityLevelConfiguration") or {}).get("name"):
        errors.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    if spec.get("matchingPrecedence") == 1 and schema["metadata"].get("name") != "exempt":
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid("spec.matchingPrecedence", 1, detail))
    FLOW_SCHEMA_RULES(schema, "", errors)
    return errors


def hand_fits(queuing: Any, path: str, errors: Errors) -> None:
    queues, hand = queuing.get("queues") or 0, queuing.get("handSize") or 0
    if queues > MAX_QUEUES:
        errors.append(invalid(f"{path}.queues", queues, f"must not be greater than {MAX_QUEUES}"))
    elif hand > queues:
        errors.append(invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif hand > 0 and hand_bits(queues, hand) > MAX_HAND_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HAND_BITS}"
        )
        errors.append(invalid(f"{path}.handSize", hand, detail))


def hand_bits(queues: int, hand: int) -> float:
    """log2 of the number of hands; it stops counting where there are too many anyhow."""
    bits = 0.0
    for left in range(queues, queues - hand, -1):
        bits += log2(left)
        if bits > MAX_HAND_BITS:
            break
    return bits


def queuing_where_it_queues(response: Any, path: str, errors: Errors) -> None:
    queues = response.get("type") == "Queue"
    if queues and not response.get("queuing"):
        errors.append(required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited"))
    if not queues and response.get("queuing"):
        errors.append(forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited"))


LENDING = {"nominalConcurrencyShares": non_negative, "lendablePercent": percentage}
PRIORITY_LEVEL_RULES = compile_rules(
    {
        "spec": {
            "type": (REQUIRED, one_of("Exempt", "Limited")),
            "exempt": LENDING,
            "limited": {
                **LENDING,
                "borrowingLimitPercent": non_negative,
                "limitResponse": {
                    "": queuing_where_it_queues,
                    "type": (REQUIRED, one_of("Queue", "Reject")),
                    "queuing": {
                        "": hand_fits,
                        "queues": positive,
                        "handSize": positive,
                        "queueLengthLimit": positive,
                    },
                },
            },
        }
    },
    root=True,
)


def validate_priority_level(level: Object, old: Object | None) -> Errors:
    errors: Errors = []
    spec = level.get("spec") or {}
    type_ = spec.get("type")
    if (type_ == "Exempt") != (level["metadata"].get("name") == "exempt"):
        errors.append(invalid("spec.type", type_ or "", "type must be 'Exempt' if and only if name is 'exempt'"))
    if type_ == "Limited" and spec.get("limited") is None:
        errors.append(required("spec.limited", "must not be empty when type is Limited"))
    for name, field in (("Limited", "limited"), ("Exempt", "exempt")):
        if type_ != name and spec.get(field) is not None:
            errors.append(forbidden(f"spec.{field}", f"must be nil if the type is not {name}"))
    PRIORITY_LEVEL_RULES(level, "", errors)
    return errors
