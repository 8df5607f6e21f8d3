"""PodSecurity: a namespace's labels say which Pod Security Standard its pods must keep, and what happens otherwise.

`pod-security.kubernetes.io/enforce` refuses pods, `warn` warns whoever writes them (also through a workload's
template), `audit` is for the audit log. Levels: privileged (anything goes), baseline, restricted. The checks
themselves are in `pod_standards.py`.
"""

import re
from typing import NamedTuple

from kaa.api.errors import FieldError, invalid
from kaa.api.objects import Object, labels_of, name_of
from kaa.api.validation.fields import invalid as invalid_value
from kaa.server.admission.plugin import CREATE, UPDATE, Context, Plugin, created, refused
from kaa.server.admission.pod_standards import LATEST, violations
from kaa.server.request import AdmissionRequest

LABEL_PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
PRIVILEGED = "privileged"
ALL_LEVELS = (PRIVILEGED, "baseline", "restricted")
VERSION = re.compile("latest|v1\\.(0|[1-9][0-9]{0,2})")

MAX_PODS = 3000
"""Pods of a namespace that are looked at when more is demanded of it."""

TEMPLATES = frozenset(
    {
        ("", "PodTemplate"),
        ("", "ReplicationController"),
        ("apps", "ReplicaSet"),
        ("apps", "Deployment"),
        ("apps", "DaemonSet"),
        ("apps", "StatefulSet"),
        ("batch", "Job"),
        ("batch", "CronJob"),
    }
)


async def check_pod_security(request: AdmissionRequest, context: Context) -> None:
    obj = created(request)
    namespace = context.reader.get("Namespace", request.attributes.namespace) or {"metadata": {}}
    spec = pod_spec_in(obj, request.resource.kind)
    if spec is None or (request.old is not None and pod_spec_in(request.old, request.resource.kind) == spec):
        return
    is_pod = request.resource.kind == "Pod"
    if is_pod and (found := _violations(namespace, "enforce", spec)):
        raise refused(request, f"violates PodSecurity {found}")
    if warning := _violations(namespace, "warn", spec):
        request.warnings.append(f"would violate PodSecurity {warning}")


def pod_spec_in(obj: Object, kind: str) -> Object | None:
    """The pod spec of a pod or a template; None if it is missing, which validation refuses."""
    paths = {"Pod": ("spec",), "PodTemplate": ("template", "spec")}
    paths["CronJob"] = ("spec", "jobTemplate", "spec", "template", "spec")
    found: Object | None = obj
    for field in paths.get(kind, ("spec", "template", "spec")):
        found = (found or {}).get(field)
    return found


class Standard(NamedTuple):
    """What a namespace demands in one mode."""

    level: str
    version: str

    @property
    def minor(self) -> int:
        return LATEST if self.version == "latest" else int(self.version.removeprefix("v1."))


def standard_of(namespace: Object, mode: str) -> Standard:
    """A label that says nothing of the sort counts as upstream counts it: as restricted, and as latest."""
    labels = labels_of(namespace)
    level = labels.get(LABEL_PREFIX + mode, PRIVILEGED)
    version = labels.get(f"{LABEL_PREFIX}{mode}-version", "latest")
    return Standard(level if level in ALL_LEVELS else "restricted", version if VERSION.fullmatch(version) else "latest")


def _violations(namespace: Object, mode: str, spec: Object) -> str:
    """`"restricted:latest": privileged (...), ...`, "" when the pod keeps to the mode's level."""
    standard = standard_of(namespace, mode)
    if standard.level == PRIVILEGED:
        return ""
    found = violations(spec, standard.level, standard.minor)
    return f'"{standard.level}:{standard.version}": {", ".join(found)}' if found else ""


def label_errors(namespace: Object) -> list[FieldError]:
    errors = []
    for mode in MODES:
        for key, is_good, wanted in (
            (LABEL_PREFIX + mode, ALL_LEVELS.__contains__, f"must be one of {', '.join(ALL_LEVELS)}"),
            (f"{LABEL_PREFIX}{mode}-version", VERSION.fullmatch, 'must be "latest" or "v1.x"'),
        ):
            value = labels_of(namespace).get(key)
            if value is not None and not is_good(value):
                errors.append(invalid_value(f"metadata.labels[{key}]", value, wanted))
    return errors


async def check_namespace(request: AdmissionRequest, context: Context) -> None:
    """Labels must mean something; and who demands more is told which pods there are do not keep to it."""
    namespace, old = created(request), request.old
    errors = label_errors(namespace)
    if errors and (old is None or label_errors(old) != errors):
        raise invalid("Namespace", "", name_of(namespace), errors)
    if old is None:
        return
    now, before = standard_of(namespace, "enforce"), standard_of(old, "enforce")
    is_laxer = now.version == before.version and ALL_LEVELS.index(now.level) <= ALL_LEVELS.index(before.level)
    if now == before or now.level == PRIVILEGED or is_laxer:
        return
    pods = context.reader.list("Pod", name_of(namespace))
    request.warnings += warnings_about(name_of(namespace), now, pods)


def warnings_about(namespace: str, standard: Standard, pods: list[Object]) -> list[str]:
    """Pods that violate it in the same ways share a line."""
    warnings = []
    if len(pods) > MAX_PODS:
        warnings.append(
            f"new PodSecurity enforce level only checked against the first {MAX_PODS} of {len(pods)} existing pods"
        )
    alike: dict[str, list[str]] = {}
    for pod in pods[:MAX_PODS]:
        reasons = [found.partition(" (")[0] for found in violations(pod["spec"], standard.level, standard.minor)]
        if reasons:
            alike.setdefault(", ".join(reasons), []).append(name_of(pod))
    if alike:
        demanded = f"{standard.level}:{standard.version}"
        warnings.append(
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{demanded}"'
        )
    return warnings + sorted(f"{names[0]}{_others(len(names) - 1)}: {reasons}" for reasons, names in alike.items())


def _others(count: int) -> str:
    return f" (and {count} other pod{'s' if count > 1 else ''})" if count else ""


POD_SECURITY = Plugin(
    name="PodSecurity",
    kinds=TEMPLATES | {("", "Pod")},
    operations=frozenset({CREATE, UPDATE}),
    subresources=frozenset({"", "ephemeralcontainers"}),
    validate=check_pod_security,
)

POD_SECURITY_LABELS = Plugin(
    name="PodSecurity",
    kinds=frozenset({("", "Namespace")}),
    operations=frozenset({CREATE, UPDATE}),
    validate=check_namespace,
)
"""The plugin's other half, which looks at namespaces."""
