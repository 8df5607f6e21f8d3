"""Defaults of what extends the API (custom kinds, services, webhooks, policies, priorities) and of device claims."""

from kaa.api.defaults.pods import canonical
from kaa.api.defaults.walker import EMPTY, compile_defaults, created, zero
from kaa.api.objects import Object
from kaa.api.resource import SetDefaults

HTTPS = 443


def singular(names: Object) -> str:
    kind: str = names.get("kind") or ""
    return kind.lower()


def list_kind(names: Object) -> str | None:
    return f"{names['kind']}List" if names.get("kind") else None


CONVERSION_WEBHOOK = {"clientConfig": {"service": {"port": HTTPS}}}

CUSTOM_RESOURCE_DEFINITION = compile_defaults(
    {
        "spec": created(
            {
                "names": created({"singular": singular, "listKind": list_kind}),
                "conversion": created({"strategy": "None", "webhook": CONVERSION_WEBHOOK}),
            }
        ),
    }
)

API_SERVICE = compile_defaults({"spec": created({"service": {"port": HTTPS}}), "status": EMPTY})

RULE = {"scope": "*"}
MATCHING = {"matchPolicy": "Equivalent", "namespaceSelector": EMPTY, "objectSelector": EMPTY}
WEBHOOK = {
    **MATCHING,
    "failurePolicy": "Fail",
    "timeoutSeconds": 10,
    "clientConfig": {"service": {"port": HTTPS}},
    "rules[]": RULE,
}
MUTATING_WEBHOOKS = compile_defaults({"webhooks[]": WEBHOOK | {"reinvocationPolicy": "Never"}})
VALIDATING_WEBHOOKS = compile_defaults({"webhooks[]": WEBHOOK})

MATCH_RESOURCES = {**MATCHING, "resourceRules[]": RULE, "excludeResourceRules[]": RULE}
POLICY = {"failurePolicy": "Fail", "matchConstraints": MATCH_RESOURCES}
VALIDATING_POLICY = compile_defaults({"spec": created(POLICY), "status": EMPTY})
MUTATING_POLICY = compile_defaults({"spec": created(POLICY)})
POLICY_BINDING = compile_defaults({"spec": created({"matchResources": MATCH_RESOURCES})})

FLOW_SCHEMA = compile_defaults({"spec": created({"matchingPrecedence": zero(1000)}), "status": EMPTY})
QUEUING = {"queues": zero(64), "handSize": zero(8), "queueLengthLimit": zero(50)}
PRIORITY_LEVEL = compile_defaults(
    {
        "spec": created(
            {
                "limited": {
                    "nominalConcurrencyShares": 30,
                    "lendablePercent": 0,
                    "limitResponse": created({"queuing": QUEUING}),
                },
                "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
            }
        ),
        "status": EMPTY,
    }
)


def device_count(request: Object) -> int | None:
    return 1 if request["allocationMode"] == "ExactCount" and not request.get("count") else None


TOLERATIONS = {"tolerations[]": {"operator": "Equal"}}
DEVICE_REQUEST = {"allocationMode": "ExactCount", "count": device_count, **TOLERATIONS}
DEVICES = {"devices": created({"requests[]": {"exactly": DEVICE_REQUEST, "firstAvailable[]": DEVICE_REQUEST}})}
RESOURCE_CLAIM = compile_defaults({"spec": created(DEVICES), "status": EMPTY})
RESOURCE_CLAIM_TEMPLATE = compile_defaults({"spec": created({"metadata": EMPTY, "spec": created(DEVICES)})})
DEVICE_CLASS = compile_defaults({"spec": EMPTY})


def canonical_values(field: str) -> SetDefaults:
    """Writes the amounts of a map of capacities or counters in canonical form."""

    def apply(obj: Object) -> None:
        for amount in (obj.get(field) or {}).values():
            amount["value"] = canonical(amount.get("value") or "0")

    return apply


COUNTERS = {"": canonical_values("counters")}
RESOURCE_SLICE = compile_defaults(
    {
        "spec": created(
            {
                "devices[]": {"": canonical_values("capacity"), "consumesCounters[]": COUNTERS},
                "sharedCounters[]": COUNTERS,
            }
        )
    }
)
