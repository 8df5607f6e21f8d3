"""Rules for what makes pods, and for what scales and protects them."""

import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.api.selectors import selector_of
from kaa.api.validation.conditions import check_conditions
from kaa.api.validation.fields import forbidden, invalid, not_supported, required
from kaa.api.validation.metadata import check_selector, check_template_metadata
from kaa.api.validation.names import dns_subdomain, path_segment, percent
from kaa.api.validation.pods import POD_SPEC
from kaa.api.validation.schedule import schedule_problem
from kaa.api.validation.walker import (
    REQUIRED,
    Check,
    Errors,
    Rules,
    at,
    compile_rules,
    errors_of,
    immutable,
    in_range,
    not_negative,
    one_of,
    valid,
)

CRON_JOB_NAME_LENGTH = 52
"""11 characters less than a label: the jobs' names have a time appended."""


def cron_job_name(value: str) -> list[str]:
    problems = dns_subdomain(value)
    if len(value) > CRON_JOB_NAME_LENGTH:
        problems.append(f"must be no more than {CRON_JOB_NAME_LENGTH} characters")
    return problems


def int_or_percent(value: Any, path: str, errors: Errors) -> None:
    """A count, or a share such as 25% of one."""
    if isinstance(value, int):
        not_negative(value, path, errors)
    else:
        errors += [invalid(path, value, problem) for problem in percent(value)]


def at_most_all(value: Any, path: str, errors: Errors) -> None:
    if isinstance(value, str) and re.fullmatch("[0-9]+%", value) and int(value[:-1]) > 100:
        errors.append(invalid(path, value, "must not be greater than 100%"))


def is_zero(value: Any) -> bool:
    return value in (0, "0%")


def not_empty_for(kind: str, *, is_required: bool = True) -> Check:
    """The check of a spec: it has a selector, and one that says something."""

    def check(spec: Any, path: str, errors: Errors) -> None:
        selector, path = spec.get("selector"), f"{path}.selector"
        if selector is None:
            if is_required:
                errors.append(required(path))
            return
        check_selector(selector, path, errors)
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            errors.append(invalid(path, selector, f"empty selector is invalid for {kind}"))

    return check


def selects_template(spec: Any, path: str, errors: Errors) -> None:
    """The pods that are made must be those that are selected. No selector at all selects nothing."""
    labels = at(spec, "template.metadata.labels")
    try:
        selector = selector_of(spec.get("selector"))
    except APIError:
        return  # the selector's own rules say what is wrong
    if spec.get("selector") is not None and (selector.matches_everything or selector.matches(labels or {})):
        return
    detail = "`selector` does not match template `labels`"
    errors.append(invalid(f"{path}.template.metadata.labels", labels, detail))


def always_restarts(kind: str) -> Check:
    def check(spec: Any, path: str, errors: Errors) -> None:
        pod = at(spec, "template.spec") or {}
        policy = pod.get("restartPolicy")
        if policy and policy != "Always":
            errors.append(not_supported(f"{path}.template.spec.restartPolicy", policy, ("Always",)))
        if pod.get("activeDeadlineSeconds") is not None:
            detail = f"activeDeadlineSeconds in {kind} is not Supported"
            errors.append(forbidden(f"{path}.template.spec.activeDeadlineSeconds", detail))

    return check


TEMPLATE = {"metadata": {"": check_template_metadata}, "spec": (REQUIRED, compile_rules(POD_SPEC))}


def workload(kind: str, text: str, rules: Rules, *checks: Check, needs_selector: bool = True) -> Check:
    """The rules that all workloads share, and `rules` and `checks` of its own. `text` names it in messages."""
    spec = {
        "": (not_empty_for(text, is_required=needs_selector), selects_template, always_restarts(kind), *checks),
        "template": (REQUIRED, compile_rules(TEMPLATE)),
        "replicas": not_negative,
        "minReadySeconds": not_negative,
        "revisionHistoryLimit": not_negative,
        **rules,
    }
    return compile_rules({"spec": spec}, root=True)


def rolling_or_not(strategy: str, other: str) -> Check:
    def check(spec: Any, path: str, errors: Errors) -> None:
        chosen = spec.get(strategy) or {}
        if chosen.get("type") == other and chosen.get("rollingUpdate") is not None:
            detail = f"may not be specified when strategy `type` is '{other}'"
            errors.append(forbidden(f"{path}.{strategy}.rollingUpdate", detail))

    return check


def makes_progress(update: Any, path: str, errors: Errors) -> None:
    """A rolling update that may neither add nor take away never moves."""
    if is_zero(update.get("maxUnavailable")) and is_zero(update.get("maxSurge")):
        detail = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid(f"{path}.maxUnavailable", update["maxUnavailable"], detail))


def deadline_after_ready(spec: Any, path: str, errors: Errors) -> None:
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        errors.append(invalid(f"{path}.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))


ROLLING_UPDATE = {
    "": makes_progress,
    "maxUnavailable": (int_or_percent, at_most_all),
    "maxSurge": int_or_percent,
}

DEPLOYMENT = workload(
    "Deployment",
    "deployment",
    {
        "strategy": {"type": (REQUIRED, one_of("Recreate", "RollingUpdate")), "rollingUpdate": ROLLING_UPDATE},
        "progressDeadlineSeconds": not_negative,
    },
    rolling_or_not("strategy", "Recreate"),
    deadline_after_ready,
)
REPLICA_SET = workload("ReplicaSet", "deployment", {})  # upstream names the wrong kind too
DAEMON_SET = workload(
    "DaemonSet",
    "daemonset",
    {
        "updateStrategy": {"type": (REQUIRED, one_of("RollingUpdate", "OnDelete")), "rollingUpdate": ROLLING_UPDATE},
    },
    needs_selector=False,
)
CHECK_TEMPLATE = compile_rules(TEMPLATE)


def template_with_claims(spec: Any, path: str, errors: Errors) -> None:
    """The template of a pod that has, beside its own volumes, one for each claim."""
    template = spec.get("template") or {}
    pod = template.get("spec")
    claims = [name for claim in spec.get("volumeClaimTemplates") or () if (name := at(claim, "metadata.name"))]
    if pod and claims:
        own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
        volumes = own + [{"name": name, "emptyDir": {}} for name in claims]
        template = {**template, "spec": {**pod, "volumes": volumes}}
    if template:
        CHECK_TEMPLATE(template, f"{path}.template", errors)


STATEFUL_SET = workload(
    "StatefulSet",
    "statefulset",
    {
        "template": REQUIRED,
        "podManagementPolicy": (REQUIRED, one_of("OrderedReady", "Parallel")),
        "updateStrategy": {
            "type": (REQUIRED, one_of("RollingUpdate", "OnDelete")),
            "rollingUpdate": {"partition": not_negative, "maxUnavailable": (int_or_percent, at_most_all)},
        },
        "persistentVolumeClaimRetentionPolicy": {
            "whenDeleted": one_of("Retain", "Delete"),
            "whenScaled": one_of("Retain", "Delete"),
        },
        "ordinals": {"start": not_negative},
    },
    rolling_or_not("updateStrategy", "OnDelete"),
    template_with_claims,
)


def labels_selected(spec: Any, path: str, errors: Errors) -> None:
    selector = spec.get("selector") or {}
    labels = at(spec, "template.metadata.labels") or {}
    if not selector:
        errors.append(required(f"{path}.selector"))
    elif any(labels.get(key) != value for key, value in selector.items()):
        detail = "`selector` does not match template `labels`"
        errors.append(invalid(f"{path}.template.metadata.labels", labels, detail))


REPLICATION_CONTROLLER = compile_rules(
    {
        "spec": {
            "replicas": not_negative,
            "minReadySeconds": not_negative,
            "template": (REQUIRED, compile_rules(TEMPLATE)),
            "": (labels_selected, always_restarts("ReplicationController")),
        }
    },
    root=True,
)


STATEFUL_SET_UPDATABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def validate_stateful_set_update(new: Object, old: Object, subresource: str) -> Errors:
    fields = new["spec"].keys() | old["spec"].keys()
    if all(new["spec"].get(f) == old["spec"].get(f) for f in fields if f not in STATEFUL_SET_UPDATABLE):
        return []
    *names, last = (f"'{field}'" for field in STATEFUL_SET_UPDATABLE)
    listed = f"{', '.join(names)} and {last}"
    return [forbidden("spec", f"updates to statefulset spec for fields other than {listed} are forbidden")]


def ends(spec: Any, path: str, errors: Errors) -> None:
    """The pods of a job end; Always would never let them."""
    policy = at(spec, "template.spec.restartPolicy")
    if policy == "Always":
        errors.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))


JOB_SPEC = {
    "parallelism": not_negative,
    "completions": not_negative,
    "activeDeadlineSeconds": not_negative,
    "backoffLimit": not_negative,
    "ttlSecondsAfterFinished": not_negative,
    "completionMode": one_of("NonIndexed", "Indexed"),
    "podReplacementPolicy": one_of("TerminatingOrFailed", "Failed"),
    "template": (REQUIRED, compile_rules(TEMPLATE)),
    "": (ends,),
}
JOB = compile_rules(
    {"spec": JOB_SPEC | {"selector": (REQUIRED, compile_rules({"": check_selector})), "": (ends, selects_template)}},
    root=True,
)


def validate_job(job: Object, old: Object | None) -> Errors:
    errors = errors_of(JOB, job)
    if len(job["metadata"].get("name") or "") > 63 and not job["spec"].get("manualSelector"):
        name = job["metadata"]["name"]
        detail = "must be no more than 63 characters"
        errors.append(invalid("metadata.name", name, detail))
    return errors


def validate_job_update(new: Object, old: Object, subresource: str) -> Errors:
    if new["spec"] is old["spec"]:
        return []  # of the status alone
    errors = immutable(new, old, "spec.selector", "spec.completionMode", "spec.podFailurePolicy")
    if new["spec"].get("completionMode") != "Indexed":
        errors += immutable(new, old, "spec.completions")
    if not (old["spec"].get("suspend") and not (old.get("status") or {}).get("startTime")):
        errors += immutable(new, old, "spec.template")
    return errors


def time_zone(value: Any, path: str, errors: Errors) -> None:
    """A name of the time zone database; the machine's own zone is no answer, which may be another tomorrow."""
    if value.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.append(invalid(path, value, detail))
        return
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        errors.append(invalid(path, value, f"unknown time zone {value}"))


def schedule(value: Any, path: str, errors: Errors) -> None:
    if "TZ" in value:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid(path, value, detail))
    elif problem := schedule_problem(value):
        errors.append(invalid(path, value, problem))


CRON_JOB = compile_rules(
    {
        "spec": {
            "schedule": (REQUIRED, schedule),
            "timeZone": time_zone,
            "concurrencyPolicy": (REQUIRED, one_of("Allow", "Forbid", "Replace")),
            "startingDeadlineSeconds": not_negative,
            "successfulJobsHistoryLimit": not_negative,
            "failedJobsHistoryLimit": not_negative,
            "jobTemplate": {"spec": JOB_SPEC},
        }
    },
    root=True,
)


def one_limit(spec: Any, path: str, errors: Errors) -> None:
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        detail = "minAvailable and maxUnavailable cannot be both set"
        errors.append(invalid(path, spec, detail))


def validate_disruption_budget_update(new: Object, old: Object, subresource: str) -> Errors:
    return check_conditions(at(new, "status.conditions"), "status.conditions") if subresource == "status" else []


POD_DISRUPTION_BUDGET = compile_rules(
    {
        "spec": {
            "": one_limit,
            "minAvailable": (int_or_percent, at_most_all),
            "maxUnavailable": (int_or_percent, at_most_all),
            "selector": {"": check_selector},
            "unhealthyPodEvictionPolicy": one_of("AlwaysAllow", "IfHealthyBudget"),
        }
    },
    root=True,
)


def replica_bounds(spec: Any, path: str, errors: Errors) -> None:
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < 1:
        errors.append(invalid(f"{path}.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        errors.append(invalid(f"{path}.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        errors.append(invalid(f"{path}.maxReplicas", high, "must be greater than or equal to `minReplicas`"))


SCALE_TARGET = {"kind": (REQUIRED, valid(path_segment)), "name": (REQUIRED, valid(path_segment))}
SCALING_RULES = {
    "stabilizationWindowSeconds": in_range(0, 3600),
    "selectPolicy": one_of("Max", "Min", "Disabled"),
    "policies[]": {"type": one_of("Pods", "Percent"), "periodSeconds": in_range(1, 1800)},
}
METRIC = {
    "type": (REQUIRED, one_of("ContainerResource", "External", "Object", "Pods", "Resource")),
    "resource": {"name": REQUIRED, "target": {"type": (REQUIRED, one_of("Utilization", "Value", "AverageValue"))}},
}
HORIZONTAL_POD_AUTOSCALER = compile_rules(
    {
        "spec": {
            "": replica_bounds,
            "scaleTargetRef": (REQUIRED, compile_rules(SCALE_TARGET)),
            "metrics[]": METRIC,
            "behavior": {"scaleUp": SCALING_RULES, "scaleDown": SCALING_RULES},
        }
    },
    root=True,
)
CONTROLLER_REVISION = compile_rules({"data": REQUIRED, "revision": not_negative}, root=True)
