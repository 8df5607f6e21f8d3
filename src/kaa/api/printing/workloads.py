"""The columns of what makes pods: workloads, jobs, and what scales and protects them."""

from datetime import datetime
from typing import Any

from kaa.api.objects import Object, condition, controller_of, is_being_deleted
from kaa.api.printing.cells import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    at,
    boolean,
    count_of,
    human_duration,
    joined,
    labels_text,
    number,
    selector_text,
    since,
    text,
    typed_name,
)
from kaa.api.printing.pods import container_images, container_names
from kaa.lib.clock import parse_rfc3339


def template_spec(workload: Object) -> Object | None:
    spec: Object | None = (workload["spec"].get("template") or {}).get("spec")
    return spec


def selector_cell(workload: Object, now: datetime) -> str:
    return selector_text(workload["spec"].get("selector"))


CONTAINERS = text("Containers", lambda workload, now: container_names(template_spec(workload)), wide=True)
IMAGES = text("Images", lambda workload, now: container_images(template_spec(workload)), wide=True)
SELECTOR = text("Selector", selector_cell, wide=True)
WIDE = (CONTAINERS, IMAGES, SELECTOR)


def ready_of_wanted(workload: Object, now: datetime) -> str:
    status = workload.get("status") or {}
    return f"{status.get('readyReplicas', 0)}/{workload['spec'].get('replicas', 0)}"


DEPLOYMENT = (
    NAME,
    text("Ready", ready_of_wanted),
    number("Up-to-date", "status.updatedReplicas"),
    number("Available", "status.availableReplicas"),
    AGE,
    *WIDE,
)

REPLICA_SET = (
    NAME,
    number("Desired", "spec.replicas"),
    number("Current", "status.replicas"),
    number("Ready", "status.readyReplicas"),
    AGE,
    *WIDE,
)

REPLICATION_CONTROLLER = (
    *REPLICA_SET[:-1],
    text("Selector", lambda controller, now: labels_text(controller["spec"].get("selector")), wide=True),
)

STATEFUL_SET = (NAME, text("Ready", ready_of_wanted), AGE, CONTAINERS, IMAGES)

DAEMON_SET = (
    NAME,
    number("Desired", "status.desiredNumberScheduled"),
    number("Current", "status.currentNumberScheduled"),
    number("Ready", "status.numberReady"),
    number("Up-to-date", "status.updatedNumberScheduled"),
    number("Available", "status.numberAvailable"),
    text("Node Selector", lambda daemon, now: labels_text((template_spec(daemon) or {}).get("nodeSelector"))),
    AGE,
    *WIDE,
)


def controller_cell(revision: Object, now: datetime) -> str:
    owner = controller_of(revision)
    if owner is None:
        return NONE
    group = owner["apiVersion"].rpartition("/")[0]
    return typed_name(owner["kind"].lower(), group, owner["name"])


CONTROLLER_REVISION = (NAME, text("Controller", controller_cell), number("Revision", "revision"), AGE)

JOB_CONDITIONS = ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet")
"""The conditions that the status column shows, the most final first."""


def job_status(job: Object, now: datetime) -> str:
    conditions = (job.get("status") or {}).get("conditions")
    true = [kind for kind in JOB_CONDITIONS if (condition(conditions, kind) or {}).get("status") == "True"]
    ended = [kind for kind in true if kind in ("Complete", "Failed")]
    if ended:
        return ended[0]
    if is_being_deleted(job):
        return "Terminating"
    return true[0] if true else "Running"


def job_completions(job: Object, now: datetime) -> str:
    spec, succeeded = job["spec"], (job.get("status") or {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def job_duration(job: Object, now: datetime) -> str:
    status = job.get("status") or {}
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    return human_duration((parse_rfc3339(end) if end else now) - parse_rfc3339(start))


JOB = (
    NAME,
    text("Status", job_status),
    text("Completions", job_completions),
    text("Duration", job_duration),
    AGE,
    *WIDE,
)


def cron_job_template(cron_job: Object) -> Object:
    spec: Object = cron_job["spec"]["jobTemplate"].get("spec") or {}
    return spec


CRON_JOB = (
    NAME,
    text("Schedule", "spec.schedule"),
    text("Timezone", at("spec.timeZone", NONE)),
    text("Suspend", lambda cron_job, now: boolean(cron_job["spec"].get("suspend"))),
    number("Active", count_of("status.active")),
    text(
        "Last Schedule",
        lambda cron_job, now: since((cron_job.get("status") or {}).get("lastScheduleTime"), now, NONE),
    ),
    AGE,
    text("Containers", lambda c, now: container_names(template_spec({"spec": cron_job_template(c)})), wide=True),
    text("Images", lambda c, now: container_images(template_spec({"spec": cron_job_template(c)})), wide=True),
    text("Selector", lambda c, now: selector_text(cron_job_template(c).get("selector")), wide=True),
)


def disruption_limit(field: str) -> Any:
    return at(f"spec.{field}", "N/A")


POD_DISRUPTION_BUDGET = (
    NAME,
    text("Min Available", disruption_limit("minAvailable")),
    text("Max Unavailable", disruption_limit("maxUnavailable")),
    number("Allowed Disruptions", "status.disruptionsAllowed"),
    AGE,
)

MAX_METRICS = 2
"""Metrics of an autoscaler that are shown before ` + N more...`."""

METRIC_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def metric_text(metric: Object, current: Object | None) -> str:
    """`cpu: 12%/80%`, or `5/10` for a metric that is no resource; `<unknown>` where nothing was measured yet."""
    source = metric.get(METRIC_SOURCES[metric["type"]]) or {}
    measured = ((current or {}).get(METRIC_SOURCES[metric["type"]]) or {}).get("current") or {}
    target = source.get("target") or {}
    prefix = f"{source.get('name', '')}: " if metric["type"] in ("Resource", "ContainerResource") else ""
    if prefix and target.get("averageUtilization") is not None:
        used = measured.get("averageUtilization")
        return f"{prefix}{UNKNOWN if used is None else f'{used}%'}/{target['averageUtilization']}%"
    average = " (avg)" if metric["type"] in ("Object", "External") else ""
    if target.get("averageValue") is not None:
        return f"{prefix}{measured.get('averageValue', UNKNOWN)}/{target['averageValue']}{average}"
    return f"{prefix}{measured.get('value', UNKNOWN)}/{target.get('value')}"


def metrics_cell(autoscaler: Object, now: datetime) -> str:
    metrics = autoscaler["spec"].get("metrics") or []
    current = (autoscaler.get("status") or {}).get("currentMetrics") or []
    texts = [metric_text(m, current[i] if i < len(current) else None) for i, m in enumerate(metrics)]
    shown = joined(texts[:MAX_METRICS], ", ")
    return f"{shown} + {len(texts) - MAX_METRICS} more..." if len(texts) > MAX_METRICS else shown


def utilization_cell(autoscaler: Object, now: datetime) -> str:
    """The one metric of autoscaling/v1."""
    target = autoscaler["spec"].get("targetCPUUtilizationPercentage")
    if target is None:
        return NONE
    used = (autoscaler.get("status") or {}).get("currentCPUUtilizationPercentage")
    return f"cpu: {UNKNOWN if used is None else f'{used}%'}/{target}%"


def scale_target(autoscaler: Object, now: datetime) -> str:
    target = autoscaler["spec"]["scaleTargetRef"]
    return f"{target['kind']}/{target['name']}"


HPA_SIZES = (
    text("MinPods", lambda autoscaler, now: str(autoscaler["spec"].get("minReplicas", UNSET))),
    number("MaxPods", "spec.maxReplicas"),
    number("Replicas", "status.currentReplicas"),
    AGE,
)

HPA_V2 = (NAME, text("Reference", scale_target), text("Targets", metrics_cell), *HPA_SIZES)
HPA_V1 = (NAME, text("Reference", scale_target), text("Targets", utilization_cell), *HPA_SIZES)
