"""Which FlowSchema a request belongs to, and what a schema's status says. Pure.

Schemas are tried in the order of their precedence (then name); the first that has a rule for the request's subject and
for what it asks takes it. There is always one: `catch-all` fits everybody, and who is neither authenticated nor not
goes there as well. A schema that lacks what it needs fits nothing: what makes no sense must not stop a server.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kaa.api.objects import Object, copy_object, name_of
from kaa.server.request import User
from kaa.server.request_info import RequestInfo

DANGLING = "Dangling"
CATCH_ALL = "catch-all"
SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class FlowSchema:
    name: str
    uid: str
    precedence: int
    level: str
    distinguisher: str  # ByUser, ByNamespace or ""
    rules: tuple[Object, ...]


def in_order(objects: Iterable[Object]) -> list[FlowSchema]:
    """As they are tried."""
    return sorted((_schema(obj) for obj in objects), key=lambda schema: (schema.precedence, schema.name))


def _schema(obj: Object) -> FlowSchema:
    spec = obj.get("spec") or {}
    return FlowSchema(
        name_of(obj),
        obj["metadata"].get("uid", ""),
        spec.get("matchingPrecedence") or 0,
        level_of(obj),
        (spec.get("distinguisherMethod") or {}).get("type", ""),
        tuple(spec.get("rules") or ()),
    )


def level_of(schema: Object) -> str:
    """The name of the level that a schema object refers to."""
    reference = (schema.get("spec") or {}).get("priorityLevelConfiguration") or {}
    name: str = reference.get("name", "")
    return name


def first_that_fits(schemas: Sequence[FlowSchema], user: User, path: str, info: RequestInfo) -> FlowSchema:
    for schema in schemas:
        if any(fits(rule, user, path, info) for rule in schema.rules):
            return schema
    return next(schema for schema in schemas if schema.name == CATCH_ALL)


def flow_of(schema: FlowSchema, user: User, info: RequestInfo) -> str:
    """What tells the flows of a schema apart; all are one where it does not say."""
    return {"ByUser": user.name, "ByNamespace": info.namespace}.get(schema.distinguisher, "")


def fits(rule: Object, user: User, path: str, info: RequestInfo) -> bool:
    if not any(_is_subject(subject, user) for subject in rule.get("subjects") or ()):
        return False
    if info.is_resource:
        return any(_fits_resource(resources, info) for resources in rule.get("resourceRules") or ())
    return any(_fits_path(paths, info.verb, path) for paths in rule.get("nonResourceRules") or ())


def _is_subject(subject: Object, user: User) -> bool:
    match subject.get("kind"):
        case "User":
            return _name_in(subject, "user") in ("*", user.name)
        case "Group":
            name = _name_in(subject, "group")
            return name == "*" or name in user.groups
        case "ServiceAccount":
            name = _name_in(subject, "serviceAccount")
            accounts = f"{SERVICE_ACCOUNT}{(subject.get('serviceAccount') or {}).get('namespace', '')}:"
            return user.name.startswith(accounts) if name == "*" else user.name == accounts + name
    return False


def _name_in(subject: Object, sort: str) -> str:
    name: str = (subject.get(sort) or {}).get("name", "")
    return name


def _fits_resource(rule: Object, info: RequestInfo) -> bool:
    named = f"{info.plural}/{info.subresource}" if info.subresource else info.plural
    if not (_has(rule, "verbs", info.verb) and _has(rule, "apiGroups", info.group) and _has(rule, "resources", named)):
        return False
    return _has(rule, "namespaces", info.namespace) if info.namespace else bool(rule.get("clusterScope"))


def _has(rule: Object, field: str, value: str) -> bool:
    values = rule.get(field) or ()
    return "*" in values or value in values


def _fits_path(rule: Object, verb: str, path: str) -> bool:
    return _has(rule, "verbs", verb) and any(_is_path(url, path) for url in rule.get("nonResourceURLs") or ())


def _is_path(url: str, path: str) -> bool:
    return path.startswith(url[:-1]) if url.endswith("*") else url == path


def with_dangling(schema: Object, exists: bool, now: str) -> Object:
    """The schema with its condition; itself if it has that. The time is that of the last change of status."""
    level = level_of(schema)
    references = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    wanted = {
        "type": DANGLING,
        "status": "False" if exists else "True",
        "reason": "Found" if exists else "NotFound",
        "message": f"{references} and it exists" if exists else f"{references} but there is no such object",
    }
    conditions = (schema.get("status") or {}).get("conditions") or []
    current: Object = next((condition for condition in conditions if condition.get("type") == DANGLING), {})
    if all(current.get(field) == value for field, value in wanted.items()):
        return schema
    changed = current.get("status") != wanted["status"]
    wanted["lastTransitionTime"] = now if changed else current.get("lastTransitionTime", now)
    told = copy_object(schema)
    others = [condition for condition in conditions if condition.get("type") != DANGLING]
    told["status"] = {**(schema.get("status") or {}), "conditions": [*others, wanted]}
    return told
