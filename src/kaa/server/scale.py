"""Scale: the replicas of any kind that has them, as one small object of autoscaling/v1. Pure.

Built-in kinds have them at `spec.replicas`, `status.replicas` and `spec.selector`; a custom kind says where.
"""

from dataclasses import dataclass
from typing import Any

from kaa.api.errors import FieldError, bad_request, conflict, invalid
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.api.selectors import selector_of, selector_of_labels

SCALE = Resource(kind="Scale", group="autoscaling", version="v1")


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Dotted paths. `selector` "": there is none, and nothing can be scaled by the load of its pods."""

    wanted: str = "spec.replicas"
    actual: str = "status.replicas"
    selector: str = "spec.selector"


BUILTIN = ScalePaths()


def paths_of(resource: Resource) -> ScalePaths:
    if resource.schema is None:
        return BUILTIN
    paths = {key: path.removeprefix(".") for key, path in resource.schema.scale_paths.items()}
    return ScalePaths(
        paths.get("specReplicasPath", BUILTIN.wanted),
        paths.get("statusReplicasPath", BUILTIN.actual),
        paths.get("labelSelectorPath", ""),
    )


def _get(obj: Object, path: str) -> Any:
    value: Any = obj
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _put(obj: Object, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        child = obj.get(key)
        obj[key] = obj = dict(child) if isinstance(child, dict) else {}
    obj[last] = value


def scale_of(resource: Resource, obj: Object) -> Object:
    paths = paths_of(resource)
    metadata = {
        key: obj["metadata"][key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in obj["metadata"]
    }
    status: Object = {"replicas": _get(obj, paths.actual) or 0}
    selector = selector_text(_get(obj, paths.selector)) if paths.selector else ""
    if selector:
        status["selector"] = selector
    replicas = _get(obj, paths.wanted) or 0
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def selector_text(selector: Any) -> str:
    if not selector or isinstance(selector, str):
        return selector or ""
    # A ReplicationController's selector is plain labels.
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(selector_of(selector))
    return str(selector_of_labels(selector))


def scaled_config(resource: Resource, scale: Object) -> Object:
    """An applied Scale as a configuration of the object itself."""
    config: Object = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": scale["metadata"]}
    replicas = _get(scale, "spec.replicas")
    if replicas is not None:
        _put(config, paths_of(resource).wanted, replicas)
    return config


def apply_scale(resource: Resource, obj: Object, scale: Object) -> Object:
    """The object (changed in place) with the replicas that the scale asks for. Raises Invalid, Conflict."""
    name = obj["metadata"]["name"]
    replicas = _get(scale, "spec.replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request("json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32")
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("Scale", "autoscaling", name, [FieldError("FieldValueInvalid", "spec.replicas", text)])
    version = _get(scale, "metadata.resourceVersion")
    if version and version != obj["metadata"]["resourceVersion"]:
        raise conflict(resource.name, resource.group, name)
    _put(obj, paths_of(resource).wanted, replicas)
    return obj
