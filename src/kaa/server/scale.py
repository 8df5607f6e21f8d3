"""Scale: the replicas of any kind that has them, as one small object of autoscaling/v1. Pure."""

from typing import Any, cast

from kaa.api.errors import FieldError, bad_request, conflict, invalid
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.api.selectors import selector_of, selector_of_labels

SCALE = Resource(kind="Scale", group="autoscaling", version="v1")


def scale_of(resource: Resource, obj: Object) -> Object:
    metadata = {
        key: obj["metadata"][key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in obj["metadata"]
    }
    status: Object = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    selector = selector_text(obj)
    if selector:
        status["selector"] = selector
    replicas = (obj.get("spec") or {}).get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def selector_text(obj: Object) -> str:
    selector = (obj.get("spec") or {}).get("selector")
    if not selector:
        return ""
    # A ReplicationController's selector is plain labels.
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(selector_of(selector))
    return str(selector_of_labels(selector))


def apply_scale(resource: Resource, obj: Object, scale: Object) -> Object:
    """The object with the replicas that the scale asks for. Raises Invalid, Conflict."""
    name = obj["metadata"]["name"]
    replicas: Any = cast(Object, scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request("json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32")
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("Scale", "autoscaling", name, [FieldError("FieldValueInvalid", "spec.replicas", text)])
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version and version != obj["metadata"]["resourceVersion"]:
        raise conflict(resource.name, resource.group, name)
    obj["spec"] = {**(obj.get("spec") or {}), "replicas": replicas}
    return obj
