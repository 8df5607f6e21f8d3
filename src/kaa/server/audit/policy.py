"""What of a request is put into the audit log: an audit.k8s.io/v1 Policy, and the decision for one request. Pure.

    apiVersion: audit.k8s.io/v1
    kind: Policy
    omitStages: [RequestReceived]
    rules:
      - level: None
        users: ["system:kube-proxy"]
      - level: Request
        resources: [{group: "", resources: [secrets, "pods/*"]}]
      - level: Metadata

The first rule that fits decides the *level* (how much is told: None, Metadata, Request, RequestResponse); a request
that no rule fits is not logged. *Stages* are the moments of a request at which an event may be written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from kaa.api.objects import Object
from kaa.server.request import User
from kaa.server.request_info import RequestInfo

NONE, METADATA, REQUEST, REQUEST_RESPONSE = LEVELS = ("None", "Metadata", "Request", "RequestResponse")

REQUEST_RECEIVED, RESPONSE_STARTED, RESPONSE_COMPLETE, PANIC = STAGES = (
    "RequestReceived",
    "ResponseStarted",
    "ResponseComplete",
    "Panic",
)

RULE_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")


class BadPolicy(Exception):
    """The policy file is not usable. The message is for a person."""


@dataclass(frozen=True, slots=True)
class Decision:
    level: str
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    @property
    def tells_request(self) -> bool:
        return self.level in (REQUEST, REQUEST_RESPONSE)

    @property
    def tells_response(self) -> bool:
        return self.level == REQUEST_RESPONSE


NOT_LOGGED = Decision(NONE)


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[Object, ...]
    omit_stages: frozenset[str]
    omit_managed_fields: bool

    def decide(self, user: User, path: str, info: RequestInfo) -> Decision:
        for rule in self.rules:
            if fits(rule, user, path, info):
                omit_managed_fields = rule.get("omitManagedFields")
                return Decision(
                    rule["level"],
                    self.omit_stages | set(rule.get("omitStages") or ()),
                    self.omit_managed_fields if omit_managed_fields is None else omit_managed_fields,
                )
        return NOT_LOGGED


def fits(rule: Object, user: User, path: str, info: RequestInfo) -> bool:
    """A list that a rule does not have does not restrict it."""
    if (users := rule.get("users")) and user.name not in users:
        return False
    if (groups := rule.get("userGroups")) and not set(groups) & set(user.groups):
        return False
    if (verbs := rule.get("verbs")) and info.verb not in verbs:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        return _fits_resource(rule, info)
    if urls := rule.get("nonResourceURLs"):
        return not info.is_resource and any(_fits_path(url, path) for url in urls)
    return True


def _fits_resource(rule: Object, info: RequestInfo) -> bool:
    if not info.is_resource:
        return False
    if (namespaces := rule.get("namespaces")) and info.namespace not in namespaces:
        return False
    resources = rule.get("resources")
    return not resources or any(_fits_group(row, info) for row in resources)


def _fits_group(row: Object, info: RequestInfo) -> bool:
    if (row.get("group") or "") != info.group:
        return False
    resources = row.get("resources")
    if not resources:
        return True
    if (names := row.get("resourceNames")) and info.name not in names:
        return False
    if info.subresource:
        wanted = {f"{info.plural}/{info.subresource}", f"*/{info.subresource}", f"{info.plural}/*", "*"}
    else:
        wanted = {info.plural, f"{info.plural}/*", "*"}
    return not wanted.isdisjoint(resources)


def _fits_path(url: str, path: str) -> bool:
    return path.startswith(url[:-1]) if url.endswith("*") else url == path


def read_policy(path: Path) -> Policy:
    """Raises BadPolicy."""
    try:
        return parse_policy(path.read_text())
    except OSError as error:
        raise BadPolicy(f"audit policy {path}: {error.strerror}") from None
    except BadPolicy as error:
        raise BadPolicy(f"audit policy {path}: {error}") from None


def parse_policy(text: str) -> Policy:
    """Raises BadPolicy, naming every fault."""
    try:
        given: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadPolicy(f"not YAML: {error}") from None
    if not isinstance(given, dict) or (given.get("apiVersion"), given.get("kind")) != ("audit.k8s.io/v1", "Policy"):
        raise BadPolicy("must have apiVersion audit.k8s.io/v1 and kind Policy")
    if faults := list(_faults(given)):
        raise BadPolicy("; ".join(faults))
    return Policy(tuple(given["rules"]), frozenset(given.get("omitStages") or ()), bool(given.get("omitManagedFields")))


def _faults(given: Object) -> Iterator[str]:
    rules = given.get("rules")
    if not isinstance(rules, list) or not rules:
        yield "rules: Required value: there must be at least one rule"
        return
    yield from _stage_faults("omitStages", given.get("omitStages"))
    for index, rule in enumerate(rules):
        if isinstance(rule, dict):
            yield from _rule_faults(f"rules[{index}]", rule)
        else:
            yield f"rules[{index}]: must be an object"


def _rule_faults(path: str, rule: Object) -> Iterator[str]:
    level = rule.get("level")
    if level not in LEVELS:
        yield f'{path}.level: Unsupported value: "{level or ""}": supported values: {_quoted(LEVELS)}'
    for field in RULE_LISTS:
        values = rule.get(field)
        if values is not None and not _is_list_of(str, values):
            yield f"{path}.{field}: must be a list of strings"
    resources = rule.get("resources")
    if resources is not None and not _is_list_of(dict, resources):
        yield f"{path}.resources: must be a list of group, resources and resourceNames"
        return
    if rule.get("nonResourceURLs") and (resources or rule.get("namespaces")):
        why = "rules cannot apply to both regular resources and non-resource URLs"
        yield f"{path}.nonResourceURLs: Invalid value: {why}"
    for index, row in enumerate(resources or ()):
        yield from _resource_faults(f"{path}.resources[{index}]", cast(Object, row))
    yield from _stage_faults(f"{path}.omitStages", rule.get("omitStages"))


def _resource_faults(path: str, row: Object) -> Iterator[str]:
    for field in ("resources", "resourceNames"):
        values = row.get(field)
        if values is not None and not _is_list_of(str, values):
            yield f"{path}.{field}: must be a list of strings"
    if row.get("resourceNames") and not row.get("resources"):
        yield f"{path}.resourceNames: Invalid value: using resourceNames requires at least one resource"


def _stage_faults(path: str, stages: Any) -> Iterator[str]:
    if stages is not None and not _is_list_of(str, stages):
        yield f"{path}: must be a list of strings"
        return
    for stage in stages or ():
        if stage not in STAGES:
            yield f'{path}: Unsupported value: "{stage}": supported values: {_quoted(STAGES)}'


def _is_list_of(type_: type, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, type_) for value in values)


def _quoted(values: tuple[str, ...]) -> str:
    return ", ".join(f'"{value}"' for value in values)
