"""The columns of nodes, namespaces, events, configuration, quotas and leases."""

from datetime import datetime
from typing import Any

from kaa.api.objects import Object, condition, labels_of
from kaa.api.printing.cells import (
    AGE,
    CREATED_AT,
    NAME,
    NONE,
    UNKNOWN,
    at,
    count_of,
    flag,
    joined,
    number,
    since,
    text,
)
from kaa.api.quantity import format_quantity

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def node_status(node: Object, now: datetime) -> str:
    ready = condition((node.get("status") or {}).get("conditions"), "Ready")
    if ready is None:
        text = "Unknown"
    else:
        text = "Ready" if ready.get("status") == "True" else "NotReady"
    unschedulable = (node.get("spec") or {}).get("unschedulable")
    return f"{text},SchedulingDisabled" if unschedulable else text


def node_roles(node: Object, now: datetime) -> str:
    roles = set()
    for key, value in labels_of(node).items():
        if key.startswith(ROLE_PREFIX) and key != ROLE_PREFIX:
            roles.add(key.removeprefix(ROLE_PREFIX))
        elif key == ROLE_LABEL and value:
            roles.add(value)
    return joined(sorted(roles))


def node_address(kind: str) -> Any:
    def cell(node: Object, now: datetime) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((address["address"] for address in addresses if address["type"] == kind), NONE)

    return cell


NODE = (
    NAME,
    text("Status", node_status),
    text("Roles", node_roles),
    AGE,
    text("Version", "status.nodeInfo.kubeletVersion"),
    text("Internal-IP", node_address("InternalIP"), wide=True),
    text("External-IP", node_address("ExternalIP"), wide=True),
    text("OS-Image", at("status.nodeInfo.osImage", UNKNOWN), wide=True),
    text("Kernel-Version", at("status.nodeInfo.kernelVersion", UNKNOWN), wide=True),
    text("Container-Runtime", at("status.nodeInfo.containerRuntimeVersion", UNKNOWN), wide=True),
)

NAMESPACE = (NAME, text("Status", "status.phase"), AGE)
CONFIG_MAP = (NAME, number("Data", count_of("data", "binaryData")), AGE)
SECRET = (NAME, text("Type", "type"), number("Data", count_of("data")), AGE)
LIMIT_RANGE = (NAME, CREATED_AT)


def event_last_seen(event: Object, now: datetime) -> str:
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("firstTimestamp")
    return since(last or event.get("eventTime"), now)


def event_first_seen(event: Object, now: datetime) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def event_object(event: Object, now: datetime) -> str:
    target = event.get("involvedObject") or {}
    kind = target.get("kind", "").lower()
    return f"{kind}/{target['name']}" if target.get("name") else kind


def event_source(event: Object, now: datetime) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def event_count(event: Object, now: datetime) -> int:
    """An event without a count happened once."""
    count: int = (event.get("series") or {}).get("count") or event.get("count") or 1
    return count


EVENT = (
    text("Last Seen", event_last_seen),
    text("Type", "type"),
    text("Reason", "reason"),
    text("Object", event_object),
    text("Subobject", "involvedObject.fieldPath", wide=True),
    text("Source", event_source, wide=True),
    text("Message", lambda event, now: (event.get("message") or "").strip()),
    text("First Seen", event_first_seen, wide=True),
    number("Count", event_count, wide=True),
    text("Name", "metadata.name", wide=True),
)


def quota_cell(of_limits: bool) -> Any:
    """`requests.cpu: 1/2, pods: 3/10`: what is used of what is granted, limits apart from the rest."""

    def cell(quota: Object, now: datetime) -> str:
        status = quota.get("status") or {}
        used = status.get("used") or {}
        return ", ".join(
            f"{name}: {format_quantity(used.get(name, '0'))}/{format_quantity(hard)}"
            for name, hard in sorted((status.get("hard") or {}).items())
            if name.startswith("limits") == of_limits
        )

    return cell


RESOURCE_QUOTA = (NAME, text("Request", quota_cell(of_limits=False)), text("Limit", quota_cell(of_limits=True)), AGE)


def component_condition(field: str) -> Any:
    def cell(component: Object, now: datetime) -> str:
        healthy = condition(component.get("conditions"), "Healthy") or {}
        value: str = healthy.get(field, "")
        return value

    return cell


def component_status(component: Object, now: datetime) -> str:
    healthy = condition(component.get("conditions"), "Healthy") or {}
    return {"True": "Healthy", "False": "Unhealthy"}.get(healthy.get("status", ""), "Unknown")


COMPONENT_STATUS = (
    NAME,
    text("Status", component_status),
    text("Message", component_condition("message")),
    text("Error", component_condition("error")),
)

LEASE = (NAME, text("Holder", "spec.holderIdentity"), AGE)
RUNTIME_CLASS = (NAME, text("Handler", "handler"), AGE)
PRIORITY_CLASS = (
    NAME,
    number("Value", "value"),
    flag("Global-Default", "globalDefault"),
    AGE,
    text("PreemptionPolicy", "preemptionPolicy"),
)
RESOURCE_SLICE = (
    NAME,
    text("Node", "spec.nodeName"),
    text("Driver", "spec.driver"),
    text("Pool", "spec.pool.name"),
    AGE,
)


def claim_state(claim: Object, now: datetime) -> str:
    """`pending`, or `allocated,reserved`; with `deleted` first while it is being deleted."""
    status = claim.get("status") or {}
    states = ["deleted"] if claim["metadata"].get("deletionTimestamp") else []
    if not status.get("allocation"):
        return ",".join([*states, "pending"])
    states.append("allocated")
    states.append("reserved" if status.get("reservedFor") else "available")
    return ",".join(state for state in states if state != "available")


RESOURCE_CLAIM = (NAME, text("State", claim_state), AGE)
