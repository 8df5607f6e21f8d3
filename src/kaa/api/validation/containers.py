"""Rules for containers: images, ports, environment, mounts, probes, hooks, resources."""

from typing import Any

from kaa.api.objects import Object
from kaa.api.quantity import InvalidQuantity, parse_quantity
from kaa.api.validation.fields import NOT_NEGATIVE, duplicate, forbidden, invalid, not_found, required
from kaa.api.validation.names import (
    config_key,
    dns_label,
    dns_subdomain,
    header_name,
    port_name,
    qualified_name,
    variable_name,
)
from kaa.api.validation.walker import (
    REQUIRED,
    Check,
    Errors,
    in_range,
    not_negative,
    one_of,
    port_number,
    unique,
    valid,
)

MAX_ID = 2**31 - 1
PULL_POLICY = one_of("Always", "IfNotPresent", "Never")
FILE_MODE_LIMIT = 0o777


def trimmed(value: Any, path: str, errors: Errors) -> None:
    if value != value.strip():
        errors.append(invalid(path, value, "must not have leading or trailing whitespace"))


def port_or_name(value: Any, path: str, errors: Errors) -> None:
    """IntOrString: a port's number, or the name of one of the container's ports."""
    if isinstance(value, int):
        port_number(value, path, errors)
    else:
        errors += [invalid(path, value, problem) for problem in port_name(value)]


def exactly_one(noun: str, choices: tuple[str, ...]) -> Check:
    """One of these fields, and only one: `must specify a handler type`."""

    def check(obj: Any, path: str, errors: Errors) -> None:
        chosen = [choice for choice in choices if obj.get(choice) is not None]
        if not chosen:
            errors.append(required(path, f"must specify a {noun} type"))
        for choice in chosen[1:]:
            errors.append(forbidden(f"{path}.{choice}", f"may not specify more than 1 {noun} type"))

    return check


def above_zero_seconds(value: Any, path: str, errors: Errors) -> None:
    if value <= 0:
        errors.append(invalid(path, value, "must be greater than 0"))


HTTP_GET = {
    "path": REQUIRED,
    "port": (REQUIRED, port_or_name),
    "scheme": one_of("HTTP", "HTTPS"),
    "httpHeaders[]": {"name": (REQUIRED, valid(header_name))},
}
HANDLER = {
    "": exactly_one("handler", ("exec", "httpGet", "tcpSocket", "sleep")),
    "exec": {"command": REQUIRED},
    "httpGet": HTTP_GET,
    "tcpSocket": {"port": (REQUIRED, port_or_name)},
}
PROBE = HANDLER | {
    "": exactly_one("handler", ("exec", "httpGet", "tcpSocket", "grpc")),
    "grpc": {"port": (REQUIRED, port_number)},
    "initialDelaySeconds": not_negative,
    "timeoutSeconds": not_negative,
    "periodSeconds": not_negative,
    "successThreshold": not_negative,
    "failureThreshold": not_negative,
    "terminationGracePeriodSeconds": above_zero_seconds,
}


def succeeds_once(value: Any, path: str, errors: Errors) -> None:
    """A liveness or startup probe that has succeeded has nothing to count."""
    if value != 1:
        errors.append(invalid(path, value, "must be 1"))


SINGLE_PROBE = PROBE | {"successThreshold": (not_negative, succeeds_once)}

ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def one_source(variable: Any, path: str, errors: Errors) -> None:
    source = variable.get("valueFrom")
    if source is None:
        return
    chosen = [name for name in ENV_SOURCES if source.get(name) is not None]
    path += ".valueFrom"
    if not chosen:
        listed = ", ".join(f"`{name}`" for name in ENV_SOURCES[:-1])
        errors.append(invalid(path, "", f"must specify one of: {listed} or `{ENV_SOURCES[-1]}`"))
    elif variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(chosen) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))


KEY_REFERENCE = {"name": (REQUIRED, valid(dns_subdomain)), "key": (REQUIRED, valid(config_key))}
VARIABLE = {
    "name": (REQUIRED, valid(variable_name)),
    "": one_source,
    "valueFrom": {
        "fieldRef": {"apiVersion": REQUIRED, "fieldPath": REQUIRED},
        "resourceFieldRef": {"resource": REQUIRED},
        "configMapKeyRef": KEY_REFERENCE,
        "secretKeyRef": KEY_REFERENCE,
    },
}


def one_env_source(source: Any, path: str, errors: Errors) -> None:
    chosen = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
    if not chosen:
        errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(chosen) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))


NAMED = {"name": (REQUIRED, valid(dns_subdomain))}
ENV_FROM = {"": one_env_source, "configMapRef": NAMED, "secretRef": NAMED}


def host_port(value: Any, path: str, errors: Errors) -> None:
    """0 is none."""
    if value:
        port_number(value, path, errors)


PORT = {
    "name": valid(port_name),
    "containerPort": (REQUIRED, port_number),
    "hostPort": host_port,
    "protocol": (REQUIRED, one_of("SCTP", "TCP", "UDP")),
}


def local_path(value: Any, path: str, errors: Errors) -> None:
    """A path below something, which must not lead out of it."""
    if value.startswith("/"):
        errors.append(invalid(path, value, "must be a relative path"))
    if ".." in value.split("/"):
        errors.append(invalid(path, value, "must not contain '..'"))


MOUNT = {"name": REQUIRED, "mountPath": REQUIRED, "subPath": local_path, "subPathExpr": local_path}


def mounts(container: Any, path: str, errors: Errors) -> None:
    """No two mounts at one place."""
    seen = set()
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        place = mount.get("mountPath")
        if place and place in seen:
            errors.append(invalid(f"{path}.volumeMounts[{i}].mountPath", place, "must be unique"))
        seen.add(place)
        if mount.get("subPath") and mount.get("subPathExpr"):
            detail = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{path}.volumeMounts[{i}].subPathExpr", mount["subPathExpr"], detail))


def known_volumes(spec: Object, field: str, path: str, errors: Errors) -> None:
    """Every mount of the containers in `field` names a volume of the pod."""
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for i, container in enumerate(spec.get(field) or ()):
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            name = mount.get("name")
            if name and name not in volumes:
                errors.append(not_found(f"{path}.{field}[{i}].volumeMounts[{j}].name", name))


def quantity(value: Any, path: str, errors: Errors) -> None:
    try:
        amount = parse_quantity(value)
    except InvalidQuantity as error:
        errors.append(invalid(path, value, str(error)))
        return
    if amount.nanos < 0:
        errors.append(invalid(path, str(value), NOT_NEGATIVE))


def quantities(amounts: Any, path: str, errors: Errors) -> None:
    for name, amount in amounts.items():
        for problem in qualified_name(name):
            errors.append(invalid(path, name, problem))
        quantity(amount, f"{path}[{name}]", errors)


def resources(requirements: Any, path: str, errors: Errors) -> None:
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    quantities(limits, f"{path}.limits", errors)
    before = len(errors)
    quantities(requests, f"{path}.requests", errors)
    if len(errors) > before:
        return
    for name, requested in requests.items():
        limit = limits.get(name)
        if limit is None or limit == requested:
            continue
        if parse_quantity(requested) > parse_quantity(limit):
            detail = f"must be less than or equal to {name} limit of {limit}"
            errors.append(invalid(f"{path}.requests", requested, detail))


def privileges(context: Any, path: str, errors: Errors) -> None:
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid(path, context, detail))
        added = (context.get("capabilities") or {}).get("add") or ()
        if "CAP_SYS_ADMIN" in added or "SYS_ADMIN" in added:
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid(path, context, detail))


USER_ID = in_range(0, MAX_ID)
SECURITY_CONTEXT = {
    "": privileges,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    "procMount": one_of("Default", "Unmasked"),
}

CONTAINER = {
    "name": (REQUIRED, valid(dns_label)),
    "image": (REQUIRED, trimmed),
    "imagePullPolicy": (REQUIRED, PULL_POLICY),
    "terminationMessagePolicy": (REQUIRED, one_of("FallbackToLogsOnError", "File")),
    "ports[]": PORT,
    "env[]": VARIABLE,
    "envFrom[]": ENV_FROM,
    "volumeMounts[]": MOUNT,
    "": (mounts, unique("ports", "name")),
    "lifecycle": {"postStart": HANDLER, "preStop": HANDLER},
    "livenessProbe": SINGLE_PROBE,
    "startupProbe": SINGLE_PROBE,
    "readinessProbe": PROBE,
    "resources": {"": resources},
    "securityContext": SECURITY_CONTEXT,
}

RUNNING_ONLY = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
"""What makes no sense for an init container that is to end."""


def init_container(container: Any, path: str, errors: Errors) -> None:
    policy = container.get("restartPolicy")
    if policy == "Always":
        return
    for field in RUNNING_ONLY:
        if container.get(field) is not None:
            errors.append(
                forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")
            )


NOT_EPHEMERAL = (
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
)
"""What a container that is only looked into a pod with can't have; it gets no resources of its own either."""


def ephemeral_container(container: Any, path: str, errors: Errors) -> None:
    for field in NOT_EPHEMERAL:
        if container.get(field):
            errors.append(forbidden(f"{path}.{field}", "cannot be set for an Ephemeral Container"))
    if any((container.get("resources") or {}).values()):
        errors.append(forbidden(f"{path}.resources", "cannot be set for an Ephemeral Container"))


EPHEMERAL_CONTAINER = CONTAINER | {"": (mounts, ephemeral_container)}
INIT_CONTAINER = CONTAINER | {"": (mounts, unique("ports", "name"), init_container)}


def host_ports(spec: Any, path: str, errors: Errors) -> None:
    """No two containers want the same port of the host; in the host's network, the port is the host's."""
    taken = set()
    for i, container in enumerate(spec.get("containers") or ()):
        for j, port in enumerate(container.get("ports") or ()):
            host_port = port.get("hostPort")
            if spec.get("hostNetwork") and host_port != port.get("containerPort"):
                detail = "must match `hostPort` when `hostNetwork` is true"
                errors.append(
                    invalid(f"{path}.containers[{i}].ports[{j}].containerPort", port.get("containerPort"), detail)
                )
            if not host_port:
                continue
            wanted = f"{port.get('protocol')}/{port.get('hostIP', '')}/{host_port}"
            if wanted in taken:
                errors.append(duplicate(f"{path}.containers[{i}].ports[{j}].hostPort", wanted))
            taken.add(wanted)
