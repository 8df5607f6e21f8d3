"""NodeSelectorTerms as columns: which nodes a selection by labels means. Pods, volumes and capacities select so.

Terms are alternatives, the expressions of one term must all hold, and a term without any matches no node. An expression
is decided once for every value that its label has, not once a node.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from kaa.api.objects import Object
from kaa.api.selectors import Requirement, Selector
from kaa.scheduler.derived import Domains, Rows
from kaa.scheduler.snapshot import Snapshot

OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
NAME_FIELD = "metadata.name"
"""The only field that nodes are selected by."""

ONE_OF = ("in", "=", "==")
NONE_OF = ("notin", "!=")


def requirements(entries: Iterable[Object] | None) -> list[Requirement]:
    return [Requirement(e["key"], OPERATORS[e["operator"]], tuple(e.get("values") or ())) for e in entries or ()]


def is_empty(term: Object) -> bool:
    return not term.get("matchExpressions") and not term.get("matchFields")


def rows_of_terms(terms: Sequence[Object], snapshot: Snapshot) -> Rows:
    rows = snapshot.none()
    for term in terms:
        rows |= rows_of_term(term, snapshot)
    return rows


def rows_of_term(term: Object, snapshot: Snapshot) -> Rows:
    if is_empty(term):
        return snapshot.none()
    rows = rows_of_requirements(requirements(term.get("matchExpressions")), snapshot)
    for requirement in requirements(term.get("matchFields")):
        rows &= rows_named(requirement, snapshot)
    return rows


def rows_of_selector(selector: Selector, snapshot: Snapshot) -> Rows:
    """The nodes whose labels a label selector matches."""
    if selector.requirements is None:
        return snapshot.none()
    return rows_of_requirements(selector.requirements, snapshot)


def rows_of_requirements(needed: Iterable[Requirement], snapshot: Snapshot) -> Rows:
    rows = snapshot.present.copy()
    for requirement in needed:
        rows &= rows_where(requirement, snapshot.domains(requirement.key))
    return rows


def rows_where(requirement: Requirement, domains: Domains) -> Rows:
    if requirement.operator == "exists":
        return domains.column >= 0
    if requirement.operator == "!":
        return domains.column < 0
    if requirement.operator in ONE_OF:
        return _rows_in(requirement.values, domains)
    if requirement.operator in NONE_OF:
        return ~_rows_in(requirement.values, domains)
    return _rows_in([v for v in domains.numbers if requirement.matches({requirement.key: v})], domains)


def _rows_in(values: Iterable[str], domains: Domains) -> Rows:
    numbers = [domains.numbers[value] for value in values if value in domains.numbers]
    rows: Rows
    if len(numbers) == 1:
        rows = domains.column == numbers[0]
    else:
        chosen = np.zeros(domains.count + 1, np.bool_)  # the last one, -1, is of nodes without the label
        chosen[numbers] = True
        rows = chosen[domains.column]
    return rows


def rows_named(requirement: Requirement, snapshot: Snapshot) -> Rows:
    """`In` and `NotIn` are all that validation lets fields have."""
    named = snapshot.none()
    named[[snapshot.row_of[name] for name in requirement.values if name in snapshot.row_of]] = True
    return named if requirement.operator == "in" else ~named


def names_in(term: Object) -> frozenset[str] | None:
    """The nodes that a term names, if it names any; none of them if its expressions contradict each other."""
    named: frozenset[str] | None = None
    for requirement in requirements(term.get("matchFields")):
        if requirement.key == NAME_FIELD and requirement.operator == "in":
            values = frozenset(requirement.values)
            named = values if named is None else named & values
    return named


def holds_for(terms: Iterable[Object], labels: Mapping[str, str], name: str) -> bool:
    """The same for one node."""
    return any(not is_empty(term) and all(_holds(term, labels, name)) for term in terms)


def _holds(term: Object, labels: Mapping[str, str], name: str) -> Iterator[bool]:
    yield from (requirement.matches(labels) for requirement in requirements(term.get("matchExpressions")))
    yield from (requirement.matches({NAME_FIELD: name}) for requirement in requirements(term.get("matchFields")))
