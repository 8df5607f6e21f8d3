"""A container's environment: service variables, envFrom, env; later wins. Resolved here, never by the runtime.

What a variable refers to must exist unless it says `optional`: else the container waits with
CreateContainerConfigError and the message of `ConfigError`.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Protocol

from kaa.api.objects import Object, name_of
from kaa.kubelet.expansion import expand
from kaa.kubelet.field_ref import InvalidFieldRef, PodFacts, field_value, resource_value

API_SERVICE_NAMESPACE = "default"
"""Where the Service `kubernetes` is; every pod is told of it."""


class ConfigError(Exception):
    """The container's configuration cannot be made now; retried, as what is missing may appear."""


class Objects(Protocol):
    async def get(self, kind: str, namespace: str, name: str, *, fresh: bool = False) -> Object | None: ...


def decoded(obj: Object) -> dict[str, bytes]:
    """The data of a ConfigMap or Secret as bytes."""
    if obj.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


async def environment(facts: PodFacts, container: Object, objects: Objects, services: dict[str, str]) -> dict[str, str]:
    """Name -> value, in the order of first mention. Raises ConfigError."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        variables |= await _all_of(facts, source, objects)
    for variable in container.get("env") or ():
        value = await _value(facts, container, variable, objects, services | variables)
        if value is not None:
            variables[variable["name"]] = value
    # What the pod itself says wins over the service variables.
    return {name: value for name, value in services.items() if name not in variables} | variables


async def _all_of(facts: PodFacts, source: Object, objects: Objects) -> dict[str, str]:
    kind, ref = ("ConfigMap", source["configMapRef"]) if "configMapRef" in source else ("Secret", source["secretRef"])
    obj = await _referred(facts, kind, ref, objects)
    if obj is None:
        return {}
    return {source.get("prefix", "") + key: data.decode(errors="replace") for key, data in decoded(obj).items()}


async def _referred(facts: PodFacts, kind: str, ref: Object, objects: Objects) -> Object | None:
    namespace, name = facts.pod["metadata"]["namespace"], ref.get("name", "")
    obj = await objects.get(kind, namespace, name)
    if obj is None and not ref.get("optional"):
        obj = await objects.get(kind, namespace, name, fresh=True)
    if obj is None and not ref.get("optional"):
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    return obj


async def _value(
    facts: PodFacts, container: Object, variable: Object, objects: Objects, known: Mapping[str, str]
) -> str | None:
    """None: an optional reference to nothing, which leaves the variable unset."""
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    try:
        if ref := source.get("fieldRef"):
            return field_value(facts, ref["fieldPath"])
        if ref := source.get("resourceFieldRef"):
            return resource_value(facts, ref, container["name"])
    except InvalidFieldRef as error:
        raise ConfigError(str(error)) from error
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if ref := source.get(field):
            return await _key(facts, kind, ref, objects)
    raise ConfigError(f"environment variable {variable['name']}: unsupported valueFrom {sorted(source)}")


async def _key(facts: PodFacts, kind: str, ref: Object, objects: Objects) -> str | None:
    obj = await _referred(facts, kind, ref, objects)
    data = decoded(obj).get(ref["key"]) if obj is not None else None
    if data is not None:
        return data.decode(errors="replace")
    if ref.get("optional"):
        return None
    namespace = facts.pod["metadata"]["namespace"]
    what = "Secret" if kind == "Secret" else "ConfigMap"
    raise ConfigError(f"couldn't find key {ref['key']} in {what} {namespace}/{ref.get('name', '')}")


def service_variables(services: Iterable[Object], pod: Object) -> dict[str, str]:
    """`X_SERVICE_HOST` and Docker-link variables of the namespace's Services, and always of `kubernetes`."""
    namespace = pod["metadata"]["namespace"]
    links = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Object] = {}
    for service in sorted(services, key=lambda s: (s["metadata"]["namespace"], name_of(s))):
        name, own = name_of(service), service["metadata"]["namespace"] == namespace
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        if own and links:
            chosen[name] = service
        elif name == "kubernetes" and service["metadata"]["namespace"] == API_SERVICE_NAMESPACE:
            chosen.setdefault(name, service)
    variables: dict[str, str] = {}
    for service in chosen.values():
        variables |= _variables_of(service)
    return variables


def _variables_of(service: Object) -> dict[str, str]:
    prefix = name_of(service).upper().replace("-", "_")
    address, ports = service["spec"]["clusterIP"], service["spec"].get("ports") or []
    if not ports:
        return {}
    first = ports[0]
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first["port"])}
    for port in ports:
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    host = f"[{address}]" if ":" in address else address
    variables[f"{prefix}_PORT"] = f"{first.get('protocol', 'TCP').lower()}://{host}:{first['port']}"
    for port in ports:
        protocol = port.get("protocol", "TCP")
        link = f"{prefix}_PORT_{port['port']}_{protocol}"
        variables |= {
            link: f"{protocol.lower()}://{host}:{port['port']}",
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port["port"]),
            f"{link}_ADDR": address,
        }
    return variables
