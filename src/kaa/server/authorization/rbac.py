"""RBAC: roles say what, bindings say who, and what no binding gives is not allowed.

The *index* is made from the cached roles and bindings: bindings by namespace ("" for cluster-wide ones) and subject,
roles by kind, namespace and name. It is good until the cache's revision of one of the four kinds moves; then it is
made again, reusing every object that has not changed. A ClusterRole with an aggregation rule has the rules of all
ClusterRoles that it selects, at once; the controller that writes them into the object follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from kaa.api.errors import not_found
from kaa.api.objects import Object, labels_of, name_of, namespace_of
from kaa.api.selectors import selector_of
from kaa.server.authentication.service_accounts import user_name
from kaa.server.authorization.rules import Rule
from kaa.server.chain import Reader
from kaa.server.request import Attributes, User

KINDS = ("ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role")
RBAC_GROUP = "rbac.authorization.k8s.io"

MAX_DECISIONS = 8192
"""Decisions remembered while no role or binding changes: components ask the same few hundred things."""

RoleKey = tuple[str, str, str]
"""kind, namespace ("" for a ClusterRole), name."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of one binding."""

    order: int  # of the binding: which of several that allow a request is named
    description: str  # `ClusterRoleBinding "x" of ClusterRole "y" to Group "z"`
    role: RoleKey


@dataclass(slots=True)
class Role:
    """A role's rules, as written and compiled."""

    written: list[Object]
    compiled: tuple[Rule, ...]


@dataclass(slots=True)
class Index:
    roles: dict[RoleKey, Role] = field(default_factory=dict)
    grants: dict[tuple[str, str], list[Grant]] = field(default_factory=dict)  # (namespace, subject key)

    def grants_of(self, user: User, namespace: str) -> list[Grant]:
        """Cluster-wide bindings first, then the namespace's."""
        keys = [f"User {user.name}", *(f"Group {group}" for group in user.groups)]
        scopes = ("", namespace) if namespace else ("",)
        found = [grant for scope in scopes for key in keys for grant in self.grants.get((scope, key), ())]
        return sorted(found, key=lambda grant: grant.order)


class RBACAuthorizer:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._revisions: tuple[int, ...] = ()
        self._index = Index()
        self._decisions: dict[tuple[object, ...], tuple[bool, str]] = {}
        self._compiled: dict[RoleKey, tuple[str, Role]] = {}  # with the role's resource version

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        index = self._current_index()
        # Whoever may do it to any object may do it to this one; few rules name objects, and names are many.
        to_any = self._decision(index, attributes, "")
        return to_any if to_any[0] or not attributes.name else self._decision(index, attributes, attributes.name)

    def _decision(self, index: Index, attributes: Attributes, name: str) -> tuple[bool, str]:
        user = attributes.user
        question = (
            user.name,
            user.groups,
            attributes.verb,
            attributes.group,
            attributes.plural,
            attributes.subresource,
            attributes.namespace,
            name,
            attributes.path if not attributes.is_resource else None,
        )
        decision = self._decisions.get(question)
        if decision is None:
            if len(self._decisions) >= MAX_DECISIONS:
                self._decisions.clear()
            decision = self._decisions[question] = _decide(index, replace(attributes, name=name))
        return decision

    def rules_for(self, user: User, namespace: str) -> tuple[list[Object], list[str]]:
        """All rules that apply to a user there, and what went wrong in finding them."""
        index = self._current_index()
        found: list[Object] = []
        errors: list[str] = []
        for grant in index.grants_of(user, namespace):
            role = index.roles.get(grant.role)
            if role is None:
                errors.append(_missing_role(grant.role))
            else:
                found += role.written
        return found, errors

    def rules_of_role(self, kind: str, name: str, namespace: str) -> list[Object] | None:
        """The rules of a role that a binding refers to; None if there is no such role."""
        role = self._current_index().roles.get((kind, namespace if kind == "Role" else "", name))
        return None if role is None else role.written

    def _current_index(self) -> Index:
        revisions = tuple(self._reader.revision(kind) for kind in KINDS)
        if revisions != self._revisions:
            self._index = Index(self._roles(), _grants(self._reader))
            self._decisions.clear()
            self._revisions = revisions
        return self._index

    def _roles(self) -> dict[RoleKey, Role]:
        cluster_roles = self._reader.list("ClusterRole")
        compiled: dict[RoleKey, tuple[str, Role]] = {}
        listed = [("ClusterRole", obj) for obj in cluster_roles] + [("Role", obj) for obj in self._reader.list("Role")]
        for kind, obj in listed:
            key = (kind, namespace_of(obj), name_of(obj))
            version = obj["metadata"].get("resourceVersion", "")
            known = self._compiled.get(key)
            compiled[key] = known if known and version and known[0] == version else (version, _role(_own_rules(obj)))
        self._compiled = compiled
        roles = {key: role for key, (_, role) in compiled.items()}
        for obj in cluster_roles:
            if obj.get("aggregationRule"):
                roles["ClusterRole", "", name_of(obj)] = _role(list(_aggregated(obj, cluster_roles, frozenset())))
        return roles


def _decide(index: Index, attributes: Attributes) -> tuple[bool, str]:
    errors: list[str] = []
    for grant in index.grants_of(attributes.user, attributes.namespace):
        role = index.roles.get(grant.role)
        if role is None:
            errors.append(_missing_role(grant.role))
        elif any(rule.allows(attributes) for rule in role.compiled):
            return True, f"RBAC: allowed by {grant.description}"
    if not errors:
        return False, ""
    listed = errors[0] if len(errors) == 1 else f"[{', '.join(dict.fromkeys(errors))}]"
    return False, f"RBAC: {listed}"


def _missing_role(key: RoleKey) -> str:
    kind, _, name = key
    return not_found(kind.lower(), RBAC_GROUP, name).message


def _own_rules(role: Object) -> list[Object]:
    return role.get("rules") or []


def _role(rules: list[Object]) -> Role:
    return Role(rules, tuple(Rule.of(rule) for rule in rules))


def _aggregated(role: Object, cluster_roles: list[Object], above: frozenset[str]) -> Iterator[Object]:
    """The rules of all that `role` selects. `above` are the roles being resolved: a circle ends there."""
    selectors = [selector_of(s) for s in role["aggregationRule"].get("clusterRoleSelectors") or ()]
    above |= {name_of(role)}
    for part in cluster_roles:
        if name_of(part) in above or not any(s.matches(labels_of(part)) for s in selectors):
            continue
        if part.get("aggregationRule"):
            yield from _aggregated(part, cluster_roles, above)
        else:
            yield from _own_rules(part)


def _grants(reader: Reader) -> dict[tuple[str, str], list[Grant]]:
    grants: dict[tuple[str, str], list[Grant]] = {}
    bindings = [(kind, obj) for kind in ("ClusterRoleBinding", "RoleBinding") for obj in reader.list(kind)]
    for order, (kind, binding) in enumerate(bindings):
        namespace, ref = namespace_of(binding), binding["roleRef"]
        role = (ref["kind"], namespace if ref["kind"] == "Role" else "", ref["name"])
        full_name = name_of(binding) + (f"/{namespace}" if namespace else "")
        what = f'{kind} "{full_name}" of {ref["kind"]} "{ref["name"]}"'
        for subject in binding.get("subjects") or ():
            key, description = _subject(subject)
            grant = Grant(order, f"{what} to {description}", role)
            grants.setdefault((namespace, key), []).append(grant)
    return grants


def _subject(subject: Object) -> tuple[str, str]:
    """The key that finds it (service accounts are users), and its description."""
    kind, name = subject["kind"], subject["name"]
    if kind == "ServiceAccount":
        namespace = subject.get("namespace", "")
        return f"User {user_name(namespace, name)}", f'ServiceAccount "{name}/{namespace}"'
    return f"{kind} {name}", f'{kind} "{name}"'
