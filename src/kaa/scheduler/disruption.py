"""Which pods' eviction would violate a PodDisruptionBudget."""

from collections.abc import Iterable, Sequence

from kaa.api.objects import Object, namespace_of
from kaa.api.selectors import Selector, selector_of
from kaa.scheduler.pod_info import PodInfo

KIND = "PodDisruptionBudget"


class Budgets:
    """All budgets, with the disruptions that each still allows."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self._of_namespace: dict[str, list[tuple[Selector, int, frozenset[str]]]] = {}
        for budget in objects:
            selector = selector_of(budget["spec"].get("selector"))
            status = budget.get("status") or {}
            if selector.requirements:  # none selects nothing here
                entry = selector, status.get("disruptionsAllowed", 0), frozenset(status.get("disruptedPods") or ())
                self._of_namespace.setdefault(namespace_of(budget), []).append(entry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Budgets) and self._of_namespace == other._of_namespace

    __hash__ = None  # type: ignore[assignment]  # compared only

    def violating(self, pods: Sequence[PodInfo]) -> list[bool]:
        """Of each, if all were to go in this order."""
        if not self._of_namespace:
            return [False] * len(pods)
        spent: dict[tuple[str, int], int] = {}
        return [self._violates(pod, spent) for pod in pods]

    def _violates(self, pod: PodInfo, spent: dict[tuple[str, int], int]) -> bool:
        violates = False
        for number, (selector, allowed, disrupted) in enumerate(self._of_namespace.get(pod.namespace, ())):
            # One that is going already has been counted.
            if selector.matches(pod.labels) and pod.name not in disrupted:
                budget = pod.namespace, number
                spent[budget] = spent.get(budget, 0) + 1
                violates |= spent[budget] > allowed
        return violates
