"""Defaults of what makes pods, and of what scales it."""

from typing import Any

from kaa.api.conversions.autoscaling import METRICS
from kaa.api.defaults.pods import CLAIM_SPEC, TEMPLATE
from kaa.api.defaults.walker import EMPTY, compile_defaults, created
from kaa.api.objects import Object, annotations_of

ROLLING_UPDATE = "RollingUpdate"
QUARTER = "25%"
UNLIMITED = 2**31 - 1
"""The back-off limit of a job that limits failures by index instead."""


def rolling_update(**limits: Any) -> Any:
    """Fills `rollingUpdate` of a strategy of that type."""

    def apply(strategy: Object) -> None:
        if strategy["type"] == ROLLING_UPDATE:
            strategy["rollingUpdate"] = limits | {
                key: value for key, value in (strategy.get("rollingUpdate") or {}).items() if value is not None
            }

    return apply


DEPLOYMENT = compile_defaults(
    {
        "spec": created(
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": created(
                    {"type": ROLLING_UPDATE, "": rolling_update(maxUnavailable=QUARTER, maxSurge=QUARTER)}
                ),
                "template": created(TEMPLATE),
            }
        ),
        "status": EMPTY,
    }
)

REPLICA_SET = compile_defaults(
    {"spec": created({"replicas": 1, "template": created(TEMPLATE)}), "status": created({"replicas": 0})}
)


def labels_of_template(controller: Object) -> None:
    """A ReplicationController without labels or selector takes its template's."""
    labels = ((controller["spec"].get("template") or {}).get("metadata") or {}).get("labels")
    if not labels:
        return
    if not controller["spec"].get("selector"):
        controller["spec"]["selector"] = dict(labels)
    if not controller["metadata"].get("labels"):
        controller["metadata"]["labels"] = dict(labels)


REPLICATION_CONTROLLER = compile_defaults(
    {
        "spec": created({"replicas": 1, "template": TEMPLATE}),
        "status": created({"replicas": 0}),
        "": labels_of_template,
    }
)

DAEMON_SET = compile_defaults(
    {
        "spec": created(
            {
                "revisionHistoryLimit": 10,
                "updateStrategy": created({"type": ROLLING_UPDATE, "": rolling_update(maxUnavailable=1, maxSurge=0)}),
                "template": created(TEMPLATE),
            }
        ),
        "status": created(
            {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}
        ),
    }
)

CLAIM_TEMPLATE = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": EMPTY,
    "spec": created(CLAIM_SPEC),
    "status": created({"phase": "Pending"}),
}

STATEFUL_SET = compile_defaults(
    {
        "spec": created(
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "podManagementPolicy": "OrderedReady",
                "serviceName": lambda spec: "",
                "updateStrategy": created({"type": ROLLING_UPDATE, "": rolling_update(partition=0, maxUnavailable=1)}),
                "persistentVolumeClaimRetentionPolicy": created({"whenDeleted": "Retain", "whenScaled": "Retain"}),
                "template": created(TEMPLATE),
                "volumeClaimTemplates[]": CLAIM_TEMPLATE,
            }
        ),
        "status": created({"replicas": 0, "availableReplicas": 0}),
    }
)


def completions(spec: Object) -> int | None:
    """1, unless parallel workers decide among themselves when the job is done."""
    return 1 if spec.get("parallelism") is None else None


def back_off_limit(spec: Object) -> int:
    return 6 if spec.get("backoffLimitPerIndex") is None else UNLIMITED


def replacement_policy(spec: Object) -> str:
    return "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"


def job_labels(job: Object) -> None:
    """A job without labels has its template's, and the very same: what is added to those is added to its own."""
    labels = (job["spec"]["template"].get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = labels


JOB = compile_defaults(
    {
        "spec": created(
            {
                "completionMode": "NonIndexed",
                "suspend": False,
                "manualSelector": False,
                "completions": completions,
                "parallelism": lambda spec: 1,
                "backoffLimit": back_off_limit,
                "podReplacementPolicy": replacement_policy,
                "podFailurePolicy": {"rules[]": {"onPodConditions[]": {"status": "True"}}},
                "template": created(TEMPLATE),
            }
        ),
        "status": EMPTY,
        "": job_labels,
    }
)

CRON_JOB = compile_defaults(
    {
        "spec": created(
            {
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
                "jobTemplate": created(
                    {
                        "metadata": EMPTY,
                        "spec": created(
                            {
                                "podFailurePolicy": {"rules[]": {"onPodConditions[]": {"status": "True"}}},
                                "template": created(TEMPLATE),
                            }
                        ),
                    }
                ),
            }
        ),
        "status": EMPTY,
    }
)

POD_DISRUPTION_BUDGET = compile_defaults(
    {
        "spec": EMPTY,
        "status": created({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}),
    }
)

CPU_UTILIZATION = 80
"""What an autoscaler without metrics aims at, in percent of the requests."""
POLICY_SECONDS = 15


def cpu_metric(spec: Object) -> list[Object]:
    target = {"type": "Utilization", "averageUtilization": CPU_UTILIZATION}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def metrics(spec: Object) -> None:
    if not spec.get("metrics"):
        spec["metrics"] = cpu_metric(spec)


def _percent(value: int) -> Object:
    return {"type": "Percent", "value": value, "periodSeconds": POLICY_SECONDS}


def scale_up_policies(rules: Object) -> list[Object]:
    return [{"type": "Pods", "value": 4, "periodSeconds": POLICY_SECONDS}, _percent(100)]


def scale_down_policies(rules: Object) -> list[Object]:
    return [_percent(100)]


BEHAVIOR = {
    "scaleUp": created({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": scale_up_policies}),
    "scaleDown": created({"selectPolicy": "Max", "policies": scale_down_policies}),
}

HPA_V2 = compile_defaults(
    {
        "spec": created({"minReplicas": 1, "behavior": BEHAVIOR, "": metrics}),
        "status": created({"desiredReplicas": 0, "": lambda status: status.setdefault("currentMetrics", None)}),
    }
)
DEFAULT_CPU_PERCENT = 80


def cpu_percent(autoscaler: Object) -> None:
    """What v1 goes by where its author names nothing to go by."""
    if METRICS not in annotations_of(autoscaler):
        autoscaler["spec"].setdefault("targetCPUUtilizationPercentage", DEFAULT_CPU_PERCENT)


HPA_V1 = compile_defaults(
    {
        "spec": created({"minReplicas": 1}),
        "status": created({"currentReplicas": 0, "desiredReplicas": 0}),
        "": cpu_percent,
    }
)
