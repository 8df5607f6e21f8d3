"""ClusterRole aggregation: a role with an `aggregationRule` has the rules of all roles whose labels it selects.

Whoever adds a kind gives it a role labelled, e.g., `rbac.authorization.k8s.io/aggregate-to-view`, and all viewers can
see it. Roles come in the order of their names; a rule that is there already is not added again.
"""

from collections.abc import Iterator
from datetime import datetime

from kaa.api.objects import Object, copy_object, is_being_deleted, name_of
from kaa.api.selectors import selector_of
from kaa.controllers.actions import Update
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, key_of


def reconcile(role: Object, view: View, now: datetime) -> Actions:
    if role.get("aggregationRule") is None or is_being_deleted(role):
        return
    rules = aggregated_rules(role, view)
    if rules != (role.get("rules") or []):
        yield Update({**copy_object(role), "rules": rules})


def aggregated_rules(role: Object, view: View) -> list[Object]:
    rules: list[Object] = []
    for label_selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        for other in sorted(view.list("ClusterRole", None, selector_of(label_selector)), key=name_of):
            if name_of(other) != name_of(role):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def aggregating(role: Object, view: View) -> Iterator[Key]:
    """Any role may be part of any of those that aggregate; they are few."""
    for other in view.list("ClusterRole"):
        if other.get("aggregationRule") is not None:
            yield key_of(other)


CONTROLLER = Controller(
    name="clusterrole-aggregation",
    kind="ClusterRole",
    watches=(Watch("ClusterRole", aggregating),),
    reconcile=reconcile,
)
