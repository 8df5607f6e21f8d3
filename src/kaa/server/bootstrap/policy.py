"""Who may do what in a fresh cluster: upstream's default roles and bindings, as compact data.

A role is lines of `verbs resources...`. A resource is written as kubectl does: `pods`, `pods/log`,
`deployments.apps/scale`, `*.*` for everything; a word that begins with "/" is a URL path instead; `names=a,b` at the
end restricts the line to objects of these names. A line whose resources are in several groups becomes one rule a
group. `roles.py` and `controller_roles.py` hold the data.

The names, rules and bindings are v1.37's, with one difference: the controllers' roles are also bound to the user
`system:kube-controller-manager`, for Kaa's controllers are one process with one credential, where upstream's use a
service account each. `system:kaa-dns` is Kaa's own.
"""

from collections.abc import Iterator

from kaa.api.objects import Object
from kaa.server.bootstrap.controller_roles import CONTROLLER_ROLES
from kaa.server.bootstrap.roles import (
    AGGREGATE_LABELS,
    AGGREGATED,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONTROLLER_MANAGER,
    RBAC,
    ROLE_BINDINGS,
    ROLES,
)

API_VERSION = f"{RBAC}/v1"
CONTROLLER_ROLE_PREFIX = "system:controller:"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def rules(text: str) -> list[Object]:
    """The PolicyRules that lines of `verbs resources...` mean."""
    return [rule for line in text.splitlines() if line.strip() for rule in _rules_of_line(line.split())]


def _rules_of_line(words: list[str]) -> Iterator[Object]:
    verbs = words[0].split(",")
    names = [name for word in words if word.startswith("names=") for name in word[6:].split(",")]
    targets = [word for word in words[1:] if not word.startswith("names=")]
    if targets[0].startswith("/"):
        # "/*" stands for every path, which the API writes as "*".
        yield {"verbs": verbs, "nonResourceURLs": ["*" if url == "/*" else url for url in targets]}
        return
    by_group: dict[str, list[str]] = {}
    for target in targets:
        qualified, slash, subresource = target.partition("/")
        plural, _, group = qualified.partition(".")
        by_group.setdefault(group, []).append(plural + slash + subresource)
    for group, resources in by_group.items():
        rule: Object = {"verbs": verbs, "apiGroups": [group], "resources": resources}
        if names:
            rule["resourceNames"] = names
        yield rule


def subject(text: str) -> Object:
    """`user NAME`, `group NAME` or `serviceaccount NAMESPACE/NAME` as an RBAC subject."""
    kind, _, name = text.partition(" ")
    if kind == "serviceaccount":
        namespace, _, name = name.partition("/")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"kind": kind.capitalize(), "apiGroup": RBAC, "name": name}


def policy_objects() -> Iterator[Object]:
    """Every default role and binding."""
    for name, text in CLUSTER_ROLES.items():
        yield _object("ClusterRole", name, rules=rules(text))
    for name in AGGREGATED:
        selector = {"matchLabels": {f"rbac.authorization.k8s.io/aggregate-to-{name}": "true"}}
        yield _object(
            "ClusterRole", name, aggregationRule={"clusterRoleSelectors": [selector]}, rules=_aggregated_rules(name)
        )
    for name, subjects in CLUSTER_ROLE_BINDINGS.items():
        yield _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)
    for short, text in CONTROLLER_ROLES.items():
        name = CONTROLLER_ROLE_PREFIX + short
        yield _object("ClusterRole", name, rules=rules(text))
        subjects = (f"serviceaccount kube-system/{short}", f"user {CONTROLLER_MANAGER}")
        yield _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)
    for (namespace, name), text in ROLES.items():
        yield _object("Role", name, namespace, rules=rules(text))
    for namespace, name, role, subjects in ROLE_BINDINGS:
        yield _binding("RoleBinding", name, "Role", role, subjects, namespace)


def _aggregated_rules(name: str) -> list[Object]:
    """What the aggregation controller would fill in: the rules of every part, and of the parts' parts."""
    found: list[Object] = []
    for part, whole in AGGREGATE_LABELS.items():
        if whole == name:
            found += _aggregated_rules(part) if part in AGGREGATED else rules(CLUSTER_ROLES[part])
    return found


def _object(kind: str, name: str, namespace: str = "", **fields: object) -> Object:
    labels = dict(LABELS)
    if whole := AGGREGATE_LABELS.get(name) if kind == "ClusterRole" else None:
        labels[f"rbac.authorization.k8s.io/aggregate-to-{whole}"] = "true"
    metadata: Object = {"name": name, "labels": labels, "annotations": dict(ANNOTATIONS)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, **fields}


def _binding(kind: str, name: str, role_kind: str, role: str, subjects: tuple[str, ...], namespace: str = "") -> Object:
    role_ref = {"apiGroup": RBAC, "kind": role_kind, "name": role}
    return _object(kind, name, namespace, roleRef=role_ref, subjects=[subject(text) for text in subjects])
