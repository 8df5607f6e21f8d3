"""When a toleration matches a taint."""

from collections.abc import Iterable

from kaa.api.objects import Object
from kaa.scheduler.snapshot import Taint


def tolerates(toleration: Object, taint: Taint) -> bool:
    """An empty effect matches all effects, an empty key (with Exists) all taints."""
    if toleration.get("effect") and toleration["effect"] != taint.effect:
        return False
    if toleration.get("key") and toleration["key"] != taint.key:
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == taint.value


def is_tolerated(taint: Taint, tolerations: Iterable[Object]) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)
