"""RBAC rules, pure: does a rule allow a request, and do some rules cover others.

A rule is a set of verbs times API groups times resources (or times URL paths), maybe only for objects of certain names.
"*" is every verb, group, resource or path; "*/scale" is that subresource of every resource.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kaa.api.objects import Object
from kaa.server.request import Attributes

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule, ready to be asked many times."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]

    @classmethod
    def of(cls, rule: Object) -> "Rule":
        fields = ("verbs", "apiGroups", "resources", "resourceNames")
        verbs, groups, resources, names = (frozenset(rule.get(f) or ()) for f in fields)
        return cls(verbs, groups, resources, names, tuple(rule.get("nonResourceURLs") or ()))

    def allows(self, attributes: Attributes) -> bool:
        if attributes.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not attributes.is_resource:
            return any(url_covers(url, attributes.path) for url in self.urls)
        if attributes.group not in self.groups and ALL not in self.groups:
            return False
        if self.names and attributes.name not in self.names:
            return False
        return self._has_resource(attributes.plural, attributes.subresource)

    def _has_resource(self, plural: str, subresource: str) -> bool:
        resource = f"{plural}/{subresource}" if subresource else plural
        return (
            resource in self.resources
            or ALL in self.resources
            or (bool(subresource) and f"*/{subresource}" in self.resources)
        )

    def covers(self, wanted: "SingleRule") -> bool:
        """Whether whoever has this rule may already do all that `wanted` gives."""
        if wanted.verb not in self.verbs and ALL not in self.verbs:
            return False
        if wanted.url:
            return any(url_covers(url, wanted.url) for url in self.urls)
        if wanted.group not in self.groups and ALL not in self.groups:
            return False
        if self.names and wanted.name not in self.names:
            return False
        return self._has_resource(*wanted.resource.partition("/")[::2])


@dataclass(frozen=True, slots=True)
class SingleRule:
    """One verb on one resource (of one name, or of any: ""), or on one URL."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    url: str = ""


def url_covers(pattern: str, path: str) -> bool:
    """`/apis/*` covers all that begins with `/apis/`."""
    return path.startswith(pattern[:-1]) if pattern.endswith(ALL) else path == pattern


def singles(rule: Object) -> Iterable[SingleRule]:
    """A rule taken apart."""
    verbs = rule.get("verbs") or ()
    for verb, url in itertools.product(verbs, rule.get("nonResourceURLs") or ()):
        yield SingleRule(verb, url=url)
    names = rule.get("resourceNames") or ("",)
    parts = itertools.product(verbs, rule.get("apiGroups") or (), rule.get("resources") or (), names)
    for verb, group, resource, name in parts:
        yield SingleRule(verb, group, resource, name)


def not_covered(owned: Sequence[Rule], wanted: Iterable[Object]) -> list[Object]:
    """The part of `wanted` that `owned` does not cover, as rules whose verbs are taken together again."""
    missing: dict[SingleRule, list[str]] = {}
    for rule in wanted:
        for single in singles(rule):
            if not any(own.covers(single) for own in owned):
                key = SingleRule("", single.group, single.resource, single.name, single.url)
                verbs = missing.setdefault(key, [])
                if single.verb not in verbs:
                    verbs.append(single.verb)
    return [_rule_of(key, verbs) for key, verbs in missing.items()]


def _rule_of(key: SingleRule, verbs: list[str]) -> Object:
    if key.url:
        return {"nonResourceURLs": [key.url], "verbs": verbs}
    rule: Object = {"apiGroups": [key.group], "resources": [key.resource], "verbs": verbs}
    if key.name:
        rule["resourceNames"] = [key.name]
    return rule


COMPACT_FIELDS = (
    ("APIGroups", "apiGroups"),
    ("Resources", "resources"),
    ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"),
    ("Verbs", "verbs"),
)


def compact(rule: Object) -> str:
    """`{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`, as messages show rules."""
    parts = (f"{title}:{quoted(rule[name])}" for title, name in COMPACT_FIELDS if rule.get(name))
    return "{" + ", ".join(parts) + "}"


def quoted(values: Iterable[str]) -> str:
    """`["a" "b"]`, as Go prints a list of strings."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
