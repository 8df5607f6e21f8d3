"""The columns of who may do what, and of what extends the API: roles, certificates, admission, custom kinds."""

from datetime import datetime, timedelta

from kaa.api.objects import Object, condition
from kaa.api.printing.cells import (
    AGE,
    CREATED_AT,
    NAME,
    NONE,
    UNSET,
    at,
    count_of,
    human_duration,
    joined,
    number,
    text,
)

ROLE = (NAME, CREATED_AT)


def role_cell(binding: Object, now: datetime) -> str:
    role = binding["roleRef"]
    return f"{role['kind']}/{role['name']}"


def subjects(binding: Object, kind: str) -> list[Object]:
    return [subject for subject in binding.get("subjects") or () if subject["kind"] == kind]


def users_cell(binding: Object, now: datetime) -> str:
    return joined((subject["name"] for subject in subjects(binding, "User")), ", ", absent="")


def groups_cell(binding: Object, now: datetime) -> str:
    return joined((subject["name"] for subject in subjects(binding, "Group")), ", ", absent="")


def service_accounts_cell(binding: Object, now: datetime) -> str:
    accounts = subjects(binding, "ServiceAccount")
    return joined((f"{s['namespace']}/{s['name']}" if s.get("namespace") else s["name"] for s in accounts), ", ", "")


ROLE_BINDING = (
    NAME,
    text("Role", role_cell),
    AGE,
    text("Users", users_cell, wide=True),
    text("Groups", groups_cell, wide=True),
    text("ServiceAccounts", service_accounts_cell, wide=True),
)


def request_condition(request: Object, now: datetime) -> str:
    """`Approved,Issued`: the decision, then what came of it; Pending before any."""
    status = request.get("status") or {}
    kinds = {entry["type"] for entry in status.get("conditions") or ()}
    decision = next((kind for kind in ("Denied", "Approved") if kind in kinds), "Pending")
    if status.get("certificate"):
        return f"{decision},Issued"
    return f"{decision},Failed" if "Failed" in kinds else decision


def requested_duration(request: Object, now: datetime) -> str:
    seconds = request["spec"].get("expirationSeconds")
    return NONE if seconds is None else human_duration(timedelta(seconds=seconds))


CERTIFICATE_SIGNING_REQUEST = (
    NAME,
    AGE,
    text("SignerName", "spec.signerName"),
    text("Requestor", "spec.username"),
    text("RequestedDuration", requested_duration),
    text("Condition", request_condition),
)
CLUSTER_TRUST_BUNDLE = (NAME, text("SignerName", "spec.signerName"))
POD_CERTIFICATE_REQUEST = (
    NAME,
    text("PodName", "spec.podName"),
    text("ServiceAccountName", "spec.serviceAccountName"),
    text("NodeName", "spec.nodeName"),
    text("SignerName", "spec.signerName"),
    AGE,
)

WEBHOOKS = (NAME, number("Webhooks", count_of("webhooks")), AGE)


def parameter_kind(policy: Object, now: datetime) -> str:
    kind = policy["spec"].get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def parameter_reference(binding: Object, now: datetime) -> str:
    """`namespace/name`, or `namespace/*` where a selector chooses."""
    reference = binding["spec"].get("paramRef")
    if not reference:
        return UNSET
    name = reference.get("name") or "*"
    return f"{reference['namespace']}/{name}" if reference.get("namespace") else name


VALIDATING_POLICY = (
    NAME,
    number("Validations", count_of("spec.validations")),
    text("ParamKind", parameter_kind),
    AGE,
)
MUTATING_POLICY = (NAME, number("Mutations", count_of("spec.mutations")), text("ParamKind", parameter_kind), AGE)
POLICY_BINDING = (NAME, text("PolicyName", "spec.policyName"), text("ParamRef", parameter_reference), AGE)

CUSTOM_RESOURCE_DEFINITION = (NAME, CREATED_AT)


def api_service_target(service: Object, now: datetime) -> str:
    target = service["spec"].get("service")
    return f"{target.get('namespace', '')}/{target.get('name', '')}" if target else "Local"


def api_service_available(service: Object, now: datetime) -> str:
    available = condition((service.get("status") or {}).get("conditions"), "Available")
    if available is None:
        return "Unknown"
    status: str = available["status"]
    return status if status == "True" else f"{status} ({available.get('reason', '')})"


API_SERVICE = (NAME, text("Service", api_service_target), text("Available", api_service_available), AGE)


def missing_priority_level(schema: Object, now: datetime) -> str:
    dangling = condition((schema.get("status") or {}).get("conditions"), "Dangling")
    status: str = (dangling or {}).get("status", "?")
    return status


FLOW_SCHEMA = (
    NAME,
    text("PriorityLevel", "spec.priorityLevelConfiguration.name"),
    number("MatchingPrecedence", "spec.matchingPrecedence"),
    text("DistinguisherMethod", at("spec.distinguisherMethod.type", NONE)),
    AGE,
    text("MissingPL", missing_priority_level),
)

_QUEUING = "spec.limited.limitResponse.queuing"


def concurrency_shares(level: Object, now: datetime) -> str:
    settings = level["spec"].get(level["spec"].get("type", "").lower()) or {}
    return str(settings.get("nominalConcurrencyShares", NONE))


PRIORITY_LEVEL = (
    NAME,
    text("Type", "spec.type"),
    text("NominalConcurrencyShares", concurrency_shares),
    text("Queues", at(f"{_QUEUING}.queues", NONE)),
    text("HandSize", at(f"{_QUEUING}.handSize", NONE)),
    text("QueueLengthLimit", at(f"{_QUEUING}.queueLengthLimit", NONE)),
    AGE,
)
