"""What a pod asks for in all, as quotas, limit ranges and schedulers count it."""

from kaa.api.objects import Object
from kaa.api.quantity import Quantity, parse_quantity

Resources = dict[str, Quantity]


def quantities(values: Object | None) -> Resources:
    return {key: parse_quantity(value) for key, value in (values or {}).items()}


def pod_total(pod: Object, field: str) -> Resources:
    """A pod's requests or limits: its containers' sum, or an init container's if that is more, plus overhead.

    What is said of the pod as a whole holds instead of what its containers say.
    """
    spec = pod["spec"]
    running: Resources = {}
    for container in spec.get("containers") or ():
        _add(running, quantities((container.get("resources") or {}).get(field)))
    sidecars: Resources = {}
    highest: Resources = {}
    for container in spec.get("initContainers") or ():
        asked = quantities((container.get("resources") or {}).get(field))
        if container.get("restartPolicy") == "Always":  # a sidecar runs beside all that follows
            _add(sidecars, asked)
            _raise_to(highest, sidecars)
        else:
            _add(asked, sidecars)
            _raise_to(highest, asked)
    _add(running, sidecars)
    _raise_to(running, highest)
    running |= quantities((spec.get("resources") or {}).get(field))
    overhead = quantities(spec.get("overhead"))
    _add(running, overhead if field == "requests" else {k: v for k, v in overhead.items() if k in running})
    return running


def _add(total: Resources, more: Resources) -> None:
    for key, value in more.items():
        total[key] = total[key] + value if key in total else value


def _raise_to(total: Resources, floor: Resources) -> None:
    for key, value in floor.items():
        if key not in total or total[key] < value:
            total[key] = value
