"""The rules of flow schemas and priority levels, in upstream's words."""

import pytest

from kaa.api.defaults import apply_defaults
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.api.validation import validate

CATALOG = builtin_catalog()

RULE = {
    "subjects": [{"kind": "User", "user": {"name": "a"}}],
    "resourceRules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}],
}


def problems(kind: str, spec: Object, name: str = "x") -> list[str]:
    resource = CATALOG.named(kind)
    obj: Object = {"apiVersion": resource.api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    apply_defaults(resource, obj)
    return [str(error) for error in validate(resource, obj, None)]


def schema(**spec: object) -> list[str]:
    return problems("FlowSchema", {"priorityLevelConfiguration": {"name": "l"}, "rules": [RULE], **spec})


def queuing(queues: int, hand_size: int, length: int = 50) -> list[str]:
    settings = {"queues": queues, "handSize": hand_size, "queueLengthLimit": length}
    return level(limitResponse={"type": "Queue", "queuing": settings})


def level(**limited: object) -> list[str]:
    response = {"limitResponse": {"type": "Reject"}}
    return problems("PriorityLevelConfiguration", {"type": "Limited", "limited": {**response, **limited}})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (schema(), []),
        (schema(rules=[]), []),
        (schema(priorityLevelConfiguration={}), ["spec.priorityLevelConfiguration.name: Required value"]),
        (schema(matchingPrecedence=-1), ["must be a positive value"]),
        (schema(matchingPrecedence=10001), ["must not be greater than 10000"]),
        (schema(matchingPrecedence=1), ["only the schema named 'exempt' may have matchingPrecedence 1"]),
        (schema(distinguisherMethod={"type": "ByIP"}), ['supported values: "ByNamespace", "ByUser"']),
        (schema(rules=[{**RULE, "subjects": []}]), ["subjects must contain at least one value"]),
        (schema(rules=[{**RULE, "subjects": [{"kind": "User"}]}]), ["user is required when subject kind is 'User'"]),
        (
            schema(rules=[{"subjects": RULE["subjects"]}]),
            ["at least one of resourceRules and nonResourceRules has to be non-empty"],
        ),
        (
            schema(rules=[{**RULE, "resourceRules": [{"verbs": ["*", "get"], "apiGroups": [""], "resources": ["a"]}]}]),
            ["if '*' is present, must not specify other verbs", "must supply at least one namespace"],
        ),
    ],
)
def test_flow_schemas(found: list[str], expected: list[str]) -> None:
    """A schema that could take nothing, or takes what it does not say, is refused."""
    assert len(found) == len(expected), found
    assert all(text in error for text, error in zip(expected, found, strict=True)), found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (level(), []),
        (queuing(128, 6), []),
        (level(nominalConcurrencyShares=-1, lendablePercent=101), ["non-negative integer", "between 0 and 100"]),
        (queuing(4, 6), ["should not be greater than queues (4)"]),
        (queuing(1024, 8), ["required entropy bits of deckSize 1024 and handSize 8 should not be greater than 60"]),
        (queuing(10_000_001, 1), ["must not be greater than 10000000"]),
        (queuing(8, 1, -1), ["must be positive"]),
        (level(limitResponse={"type": "Wait"}), ['supported values: "Queue", "Reject"']),
        (level(limitResponse={"type": "Reject", "queuing": {}}), ["must be nil if limited.limitResponse.type"]),
        (problems("PriorityLevelConfiguration", {"type": "Limited"}), ["must not be empty when type is Limited"]),
        (problems("PriorityLevelConfiguration", {"type": "Exempt"}), ["if and only if name is 'exempt'"]),
        (problems("PriorityLevelConfiguration", {"type": "Exempt"}, "exempt"), []),
    ],
)
def test_priority_levels(found: list[str], expected: list[str]) -> None:
    """Numbers that could not be carried out are refused, and settings of another type than the level's."""
    assert len(found) == len(expected), found
    assert all(text in error for text, error in zip(expected, found, strict=True)), found
