"""Rules for pods, and for the specs of pods in templates."""

from collections.abc import Callable
from typing import Any

from kaa.api.objects import Object, copy_object
from kaa.api.strategies.pods import qos_class
from kaa.api.validation.containers import (
    CONTAINER,
    EPHEMERAL_CONTAINER,
    FILE_MODE_LIMIT,
    INIT_CONTAINER,
    MAX_ID,
    PULL_POLICY,
    USER_ID,
    exactly_one,
    host_ports,
    known_volumes,
    local_path,
    quantity,
    resources,
)
from kaa.api.validation.fields import duplicate, forbidden, invalid, not_supported, required
from kaa.api.validation.metadata import check_labels, check_selector
from kaa.api.validation.names import dns_label, dns_subdomain, ip_address, qualified_name, sysctl_name
from kaa.api.validation.projections import POD_CERTIFICATE, TRUST_BUNDLE
from kaa.api.validation.walker import (
    REQUIRED,
    Errors,
    above_zero,
    at,
    compile_rules,
    errors_of,
    in_range,
    not_negative,
    one_of,
    unique,
    valid,
)

VOLUME_TYPES = (
    "hostPath",
    "emptyDir",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "downwardAPI",
    "fc",
    "azureFile",
    "configMap",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "projected",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "csi",
    "ephemeral",
    "image",
)


def file_mode(value: Any, path: str, errors: Errors) -> None:
    if not 0 <= value <= FILE_MODE_LIMIT:
        errors.append(invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive"))


def no_way_out(value: Any, path: str, errors: Errors) -> None:
    if ".." in value.split("/"):
        errors.append(invalid(path, value, "must not contain '..'"))


KEY_TO_PATH = {"key": REQUIRED, "path": (REQUIRED, local_path), "mode": file_mode}
DOWNWARD_ITEM = {"path": (REQUIRED, local_path), "mode": file_mode, "fieldRef": {"fieldPath": REQUIRED}}

VOLUME = {
    "name": (REQUIRED, valid(dns_label)),
    "": exactly_one("volume", VOLUME_TYPES),
    "hostPath": {"path": (REQUIRED, no_way_out)},
    "emptyDir": {"sizeLimit": quantity},
    "secret": {"secretName": REQUIRED, "defaultMode": file_mode, "items[]": KEY_TO_PATH},
    "configMap": {"name": REQUIRED, "defaultMode": file_mode, "items[]": KEY_TO_PATH},
    "persistentVolumeClaim": {"claimName": REQUIRED},
    "downwardAPI": {"defaultMode": file_mode, "items[]": DOWNWARD_ITEM},
    "projected": {
        "defaultMode": file_mode,
        "sources[]": {
            "secret": {"name": REQUIRED, "items[]": KEY_TO_PATH},
            "configMap": {"name": REQUIRED, "items[]": KEY_TO_PATH},
            "downwardAPI": {"items[]": DOWNWARD_ITEM},
            "serviceAccountToken": {"path": (REQUIRED, local_path), "expirationSeconds": in_range(600, 2**32)},
            "clusterTrustBundle": TRUST_BUNDLE,
            "podCertificate": POD_CERTIFICATE,
        },
    },
    "nfs": {"server": REQUIRED, "path": REQUIRED},
    "csi": {"driver": REQUIRED},
    "image": {"reference": REQUIRED, "pullPolicy": PULL_POLICY},
}

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def toleration(value: Any, path: str, errors: Errors) -> None:
    key, operator = value.get("key"), value.get("operator") or "Equal"
    if not key and operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        errors.append(invalid(f"{path}.operator", value.get("operator") or "", detail))
    if operator not in ("Equal", "Exists", "Lt", "Gt"):
        errors.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if operator == "Exists" and value.get("value"):
        errors.append(invalid(f"{path}.operator", value["value"], "value must be empty when `operator` is 'Exists'"))
    if value.get("tolerationSeconds") is not None and value.get("effect") != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors.append(invalid(f"{path}.effect", value.get("effect") or "", detail))


TOLERATION = {"": toleration, "key": valid(qualified_name), "effect": one_of(*EFFECTS)}

NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


def node_requirement(value: Any, path: str, errors: Errors) -> None:
    operator, values = value.get("operator"), value.get("values") or ()
    if operator in ("In", "NotIn") and not values:
        errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        errors.append(forbidden(f"{path}.values", detail))
    if operator in ("Gt", "Lt") and len(values) != 1:
        detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        errors.append(required(f"{path}.values", detail))
    if operator not in NODE_OPERATORS:
        errors.append(invalid(f"{path}.operator", operator or "", "not a valid selector operator"))


NODE_TERM = {
    "matchExpressions[]": {"": node_requirement, "key": valid(qualified_name)},
    "matchFields[]": {"": node_requirement},
}


def has_terms(selector: Any, path: str, errors: Errors) -> None:
    if not selector.get("nodeSelectorTerms"):
        errors.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))


NODE_SELECTOR = {"": has_terms, "nodeSelectorTerms[]": NODE_TERM}


def topology_key(term: Any, path: str, errors: Errors) -> None:
    key = term.get("topologyKey")
    if not key:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    else:
        errors += [invalid(f"{path}.topologyKey", key, problem) for problem in qualified_name(key)]


def weight(value: Any, path: str, errors: Errors) -> None:
    if not 1 <= value.get("weight", 0) <= 100:
        errors.append(invalid(f"{path}.weight", value.get("weight", 0), "must be in the range 1-100"))


POD_TERM = {"": topology_key, "labelSelector": {"": check_selector}}
POD_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution[]": POD_TERM,
    "preferredDuringSchedulingIgnoredDuringExecution[]": {"": weight, "podAffinityTerm": POD_TERM},
}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": NODE_SELECTOR,
        "preferredDuringSchedulingIgnoredDuringExecution[]": {"": weight, "preference": NODE_TERM},
    },
    "podAffinity": POD_AFFINITY,
    "podAntiAffinity": POD_AFFINITY,
}
SPREAD = {
    "maxSkew": (REQUIRED, above_zero),
    "": topology_key,
    "whenUnsatisfiable": (REQUIRED, one_of("DoNotSchedule", "ScheduleAnyway")),
    "labelSelector": {"": check_selector},
}


def has_containers(spec: Any, path: str, errors: Errors) -> None:
    if not spec.get("containers"):
        errors.append(required(f"{path}.containers"))


def unique_containers(spec: Any, path: str, errors: Errors) -> None:
    """Names are unique among all the containers of a pod."""
    seen: set[str] = set()
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            name = container.get("name")
            if name and name in seen:
                errors.append(duplicate(f"{path}.{field}[{i}].name", name))
            seen.add(name)


def mounted_volumes(spec: Any, path: str, errors: Errors) -> None:
    for field in ("containers", "initContainers", "ephemeralContainers"):
        known_volumes(spec, field, path, errors)


def name_servers(spec: Any, path: str, errors: Errors) -> None:
    if spec.get("dnsPolicy") == "None" and not at(spec, "dnsConfig.nameservers"):
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        errors.append(required(f"{path}.dnsConfig.nameservers", detail))


HOST_NAMESPACES = {"hostNetwork": ("net.",), "hostIPC": ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")}
"""Where a pod shares the host's namespace, the sysctls that belong to it are the host's."""


def sysctls(spec: Any, path: str, errors: Errors) -> None:
    seen: set[str] = set()
    for i, sysctl in enumerate(at(spec, "securityContext.sysctls") or ()):
        here, name = f"{path}.securityContext.sysctls[{i}].name", sysctl.get("name", "")
        if not name:
            errors.append(required(here))
        elif problems := sysctl_name(name):
            errors += [invalid(here, name, problem) for problem in problems]
        elif name in seen:
            errors.append(duplicate(here, name))
        for field, prefixes in HOST_NAMESPACES.items():
            if spec.get(field) and name.replace("/", ".").startswith(prefixes):
                errors.append(invalid(here, name, f"may not be specified when '{field}' is true"))
        seen.add(name)


POD_SPEC = {
    "": (
        has_containers,
        unique_containers,
        mounted_volumes,
        host_ports,
        name_servers,
        sysctls,
        unique("volumes", "name"),
    ),
    "containers[]": CONTAINER,
    "initContainers[]": INIT_CONTAINER,
    "ephemeralContainers[]": EPHEMERAL_CONTAINER,
    "volumes[]": VOLUME,
    "restartPolicy": (REQUIRED, one_of("Always", "OnFailure", "Never")),
    "dnsPolicy": (REQUIRED, one_of("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")),
    "terminationGracePeriodSeconds": not_negative,
    "activeDeadlineSeconds": in_range(1, MAX_ID),
    "nodeName": valid(dns_subdomain),
    "nodeSelector": check_labels,
    "serviceAccountName": valid(dns_subdomain),
    "priorityClassName": valid(dns_subdomain),
    "runtimeClassName": valid(dns_subdomain),
    "hostname": valid(dns_label),
    "subdomain": valid(dns_label),
    "imagePullSecrets[]": {"name": REQUIRED},
    "hostAliases[]": {"ip": valid(ip_address), "hostnames[]": valid(dns_subdomain)},
    "tolerations[]": TOLERATION,
    "affinity": AFFINITY,
    "topologySpreadConstraints[]": SPREAD,
    "preemptionPolicy": one_of("Never", "PreemptLowerPriority"),
    "resources": {"": resources},
    "securityContext": {
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "supplementalGroups[]": USER_ID,
        "fsGroupChangePolicy": one_of("Always", "OnRootMismatch"),
    },
    "readinessGates[]": {"conditionType": valid(qualified_name)},
    "schedulingGates[]": {"name": (REQUIRED, valid(qualified_name))},
}

POD = compile_rules({"spec": POD_SPEC}, root=True)
POD_TEMPLATE = compile_rules({"template": {"spec": POD_SPEC}}, root=True)


def validate_pod(pod: Object, old: Object | None) -> Errors:
    errors = errors_of(POD, pod)
    if old is None and pod["spec"].get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return errors


def validate_pod_template(template: Object, old: Object | None) -> Errors:
    return errors_of(POD_TEMPLATE, template)


UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
"""What an update of a pod may change, as the error says it."""


def validate_pod_update(new: Object, old: Object, subresource: str) -> Errors:
    """What an update through each subresource may not do; it has changed nothing but its own part already."""
    errors: Errors = []
    if new["spec"] != old["spec"] and subresource in UPDATE_RULES:
        UPDATE_RULES[subresource](new["spec"], old["spec"], errors)
    return errors


def check_spec_update(new: Object, old: Object, errors: Errors) -> None:
    check_deadline(new, old, errors)
    check_tolerations(new, old, errors)
    check_gates(new, old, errors)
    if unchangeable(new, old) != unchangeable(old, old):
        errors.append(forbidden("spec", f"pod updates may not change fields other than {','.join(UPDATABLE)}"))


def check_ephemeral_containers(new: Object, old: Object, errors: Errors) -> None:
    """They are added, never changed and never taken away."""
    path = "spec.ephemeralContainers"
    now = {container.get("name"): container for container in new.get("ephemeralContainers") or ()}
    for container in old.get("ephemeralContainers") or ():
        name = container["name"]
        if name not in now:
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed'))
        elif now[name] != container:
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be changed'))


def check_resize(new: Object, old: Object, errors: Errors) -> None:
    if (changed := qos_class(new)) != qos_class(old):
        errors.append(invalid("spec", changed, "Pod QOS Class may not change as a result of resizing"))


def unchangeable(spec: Object, old: Object) -> Object:
    """The spec without what an update may change; a gated pod may also be directed to fewer nodes."""
    rest = copy_object(spec)
    for field in ("containers", "initContainers"):
        for container in rest.get(field) or ():
            container.pop("image", None)
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        rest.pop(field, None)
    if old.get("terminationGracePeriodSeconds", 0) < 0 and spec.get("terminationGracePeriodSeconds") in (1, None):
        rest.pop("terminationGracePeriodSeconds", None)
    if old.get("schedulingGates"):
        rest.pop("nodeSelector", None)
        (rest.get("affinity") or {}).pop("nodeAffinity", None)
    return rest


def check_deadline(new: Object, old: Object, errors: Errors) -> None:
    """A deadline may be set once, and then only shortened."""
    path, deadline, before = (
        "spec.activeDeadlineSeconds",
        new.get("activeDeadlineSeconds"),
        old.get("activeDeadlineSeconds"),
    )
    if before is None:
        return
    if deadline is None:
        errors.append(invalid(path, None, "must not update from a positive integer to nil value"))
    elif deadline > before:
        errors.append(invalid(path, deadline, "must be less than or equal to previous value"))


def check_tolerations(new: Object, old: Object, errors: Errors) -> None:
    now = new.get("tolerations") or []
    kept = [without_seconds(t) for t in now]
    if any(without_seconds(t) not in kept for t in old.get("tolerations") or ()):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        errors.append(forbidden("spec.tolerations", detail))


def without_seconds(toleration: Object) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def check_gates(new: Object, old: Object, errors: Errors) -> None:
    """Gates may only be taken away."""
    before = [gate["name"] for gate in old.get("schedulingGates") or ()]
    for i, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in before:
            detail = "only deletion is allowed, but found new scheduling gate '{}'".format(gate.get("name"))
            errors.append(forbidden(f"spec.schedulingGates[{i}].name", detail))


UPDATE_RULES: dict[str, Callable[[Object, Object, Errors], None]] = {
    "": check_spec_update,
    "ephemeralcontainers": check_ephemeral_containers,
    "resize": check_resize,
}
"""(new spec, old spec, errors), for the pod itself and each subresource that changes its spec."""
