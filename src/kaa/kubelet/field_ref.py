"""The downward API: a pod's own fields and its containers' resources, as text. Pure.

Used by env variables and downwardAPI volumes alike.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kaa.api.objects import Object, annotations_of, labels_of
from kaa.api.quantity import cpu_millicores
from kaa.kubelet.pod_spec import container_named
from kaa.kubelet.resources import amount

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What field references can name beside the pod object itself."""

    pod: Object
    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    node_name: str = ""
    allocatable: Mapping[str, str] | None = None


class InvalidFieldRef(ValueError):
    """The path names nothing that can be referred to."""


def field_value(facts: PodFacts, path: str) -> str:
    """The value at a fieldPath, e.g. `metadata.labels['app']`."""
    pod = facts.pod
    meta, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.match(path):
        values = labels_of(pod) if match.group(1) == "labels" else annotations_of(pod)
        return values.get(match.group(2), "")
    fields: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: meta.get("name", ""),
        "metadata.namespace": lambda: meta.get("namespace", ""),
        "metadata.uid": lambda: meta.get("uid", ""),
        "metadata.labels": lambda: _as_lines(labels_of(pod)),
        "metadata.annotations": lambda: _as_lines(annotations_of(pod)),
        "spec.nodeName": lambda: spec.get("nodeName") or facts.node_name,
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName", ""),
        "status.podIP": lambda: facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": lambda: ",".join(facts.pod_ips),
        "status.hostIP": lambda: facts.host_ips[0] if facts.host_ips else "",
        "status.hostIPs": lambda: ",".join(facts.host_ips),
    }
    if path not in fields:
        raise InvalidFieldRef(f"unsupported fieldPath: {path}")
    return fields[path]()


def _as_lines(values: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted(values.items()))


def _quoted(value: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(escapes.get(char, char) for char in value)


def resource_value(facts: PodFacts, ref: Object, container_name: str = "") -> str:
    """The amount that a resourceFieldRef names, in units of its divisor, rounded up.

    An absent limit is what the node can give; an absent request is the limit, or 0.
    """
    named = container_named(facts.pod, ref.get("containerName") or container_name)
    if named is None:
        raise InvalidFieldRef(f"container {ref.get('containerName') or container_name} not found")
    resources = named[1].get("resources") or {}
    which, _, name = str(ref["resource"]).partition(".")
    if which not in ("limits", "requests"):
        raise InvalidFieldRef(f"unsupported container resource : {ref['resource']}")
    quantity = (resources.get(which) or {}).get(name)
    if quantity is None and which == "limits":
        quantity = (facts.allocatable or {}).get(name, 0)
    if quantity is None:
        quantity = (resources.get("limits") or {}).get(name, 0)
    divisor = ref.get("divisor") or "1"
    if name == "cpu":
        unit = cpu_millicores(divisor) or 1000
    else:
        unit = amount(name, divisor) or 1
    return str(-(-amount(name, quantity) // unit))
