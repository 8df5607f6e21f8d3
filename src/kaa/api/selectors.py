"""Label and field selectors: which objects a query, a controller or a Service means.

A *label selector* is a conjunction of requirements on labels, written as text in queries
(`app=web,tier in (a, b),!canary`) and as an object in specs (`matchLabels`, `matchExpressions`). A *field selector*
is a conjunction of equalities on an object's selectable fields (`metadata.name=x,status.phase!=Running`). No
requirement at all matches everything; `NOTHING` matches nothing and is what an absent selector object means.

Selectors are immutable, and are parsed once and matched often. A malformed one is BadRequest with upstream's text.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kaa.api.errors import APIError, bad_request
from kaa.api.labels import label_key_problems, label_value_problems

BINARY_OPERATORS = "in, notin, =, ==, !=, gt, lt"


def _as_integer(text: str) -> int | None:
    """The 64-bit integer that a Gt or Lt requirement compares, or None."""
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def _is_greater(value: str, bound: str) -> bool:
    number, limit = _as_integer(value), _as_integer(bound)
    return number is not None and limit is not None and number > limit


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on the label `key`. `operator` is the text form's: = == != in notin exists ! gt lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return _MATCH[self.operator](labels.get(self.key), self.values)

    def __str__(self) -> str:
        return _TEXT[self.operator].format(key=self.key, values=",".join(self.values))


_MATCH: dict[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "=": lambda value, values: value in values,
    "==": lambda value, values: value in values,
    "in": lambda value, values: value in values,
    "!=": lambda value, values: value not in values,  # also when the label is absent
    "notin": lambda value, values: value not in values,
    "exists": lambda value, values: value is not None,
    "!": lambda value, values: value is None,
    "gt": lambda value, values: value is not None and _is_greater(value, values[0]),
    "lt": lambda value, values: value is not None and _is_greater(values[0], value),
}
_TEXT = {
    "=": "{key}={values}",
    "==": "{key}=={values}",
    "!=": "{key}!={values}",
    "in": "{key} in ({values})",
    "notin": "{key} notin ({values})",
    "exists": "{key}",
    "!": "!{key}",
    "gt": "{key}>{values}",
    "lt": "{key}<{values}",
}


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold. `requirements` None matches nothing; empty matches everything."""

    requirements: tuple[Requirement, ...] | None = ()
    # Plain equalities, which nearly all selectors consist of, apart from the rest: they are compared without calls.
    _equal: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)
    _others: tuple[Requirement, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = [r for r in self.requirements or () if len(r.values) == 1 and r.operator in ("=", "==", "in")]
        others = tuple(r for r in self.requirements or () if r not in plain)
        object.__setattr__(self, "_equal", tuple((r.key, r.values[0]) for r in plain))
        object.__setattr__(self, "_others", others)

    def matches(self, labels: Mapping[str, str]) -> bool:
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        for requirement in self._others:
            if not requirement.matches(labels):
                return False
        return self.requirements is not None

    @property
    def matches_everything(self) -> bool:
        return self.requirements == ()

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements or ()))


EVERYTHING = Selector()
NOTHING = Selector(None)


def parse_label_selector(text: str) -> Selector:
    """The text form, e.g. `app=web,tier in (a, b),!canary`; "" matches everything. Raises BadRequest."""
    requirements = _LabelParser(text).parse()
    return Selector(tuple(sorted(requirements, key=lambda r: r.key)))


_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def selector_of(selector: Mapping[str, Any] | None) -> Selector:
    """The object form (LabelSelector): None matches nothing, `{}` everything. Raises BadRequest."""
    if selector is None:
        return NOTHING
    requirements = [_requirement(key, "=", [value]) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator"))
        if operator is None:
            raise bad_request(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        requirements.append(_requirement(expression.get("key", ""), operator, expression.get("values") or ()))
    return Selector(tuple(sorted(requirements, key=lambda r: r.key)))


def selector_of_labels(labels: Mapping[str, str] | None) -> Selector:
    """The labels-only form of Services and ReplicationControllers: every label must be there.

    Values are taken as they are: the object they come from has been validated.
    """
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))


def _requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """A checked requirement. Values are a set: sorted, each once."""
    values = tuple(sorted(set(values)))
    errors = [f"{path}: {message}" for path, message in _requirement_errors(key, operator, values)]
    if errors:
        raise bad_request(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return Requirement(key, operator, values)


def _requirement_errors(key: str, operator: str, values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if problems := label_key_problems(key):
        yield "key", f'Invalid value: "{key}": {"; ".join(problems)}'
    shown = "[" + ", ".join(f'"{v}"' for v in values) + "]"
    if operator in ("in", "notin") and not values:
        yield "values", f"Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty"
    if operator in ("exists", "!") and values:
        yield "values", f"Invalid value: {shown}: values set must be empty for exists and does not exist"
    for i, value in enumerate(values):
        if operator in ("gt", "lt") and _as_integer(value) is None:
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            yield f"values[{i}]", f'Invalid value: "{value}": {why}'
        if problems := label_value_problems(value):
            yield f"values[{i}][{key}]", f'Invalid value: "{value}": {"; ".join(problems)}'


_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>]+)|$)")
_WORD, _END = "word", "end"
_OPERATOR_TOKENS = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}


class _LabelParser:
    """Recursive descent over `_TOKEN`. A token is (kind, text): kind is the symbol itself, `word` or `end`."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while match := _TOKEN.match(text, position):
            symbol, word = match.groups()
            position = match.end()
            self._tokens.append((symbol, symbol) if symbol else (_WORD, word) if word else (_END, ""))
            if not symbol and not word:
                break
        self._next = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._next]

    def _take(self) -> tuple[str, str]:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            kind, text = self._peek()
            if kind == _END:
                return requirements
            if kind not in (_WORD, "!"):
                raise bad_request(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except APIError as error:
                raise bad_request(f"unable to parse requirement: {error.message}") from None
            kind, text = self._take()
            if kind == _END:
                return requirements
            if kind != ",":
                raise bad_request(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self._peek()
            if kind not in (_WORD, "!"):
                raise bad_request(f"found '{text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._take()
        negated = kind == "!"
        if negated:
            kind, key = self._take()
        if kind != _WORD:
            raise bad_request(f"found '{key}', expected: identifier")
        if problems := label_key_problems(key):
            raise bad_request(f'<nil>: Invalid value: "{key}": {"; ".join(problems)}')
        if negated:
            return Requirement(key, "!")
        if self._peek()[0] in (_END, ","):
            return Requirement(key, "exists")
        operator = self._operator()
        return _requirement(key, operator, self._set() if operator in ("in", "notin") else self._value())

    def _operator(self) -> str:
        kind, text = self._take()
        if kind == _WORD and text in ("in", "notin"):
            return text
        if kind not in _OPERATOR_TOKENS:
            raise bad_request(f"found '{text}', expected: {BINARY_OPERATORS}")
        return _OPERATOR_TOKENS[kind]

    def _value(self) -> list[str]:
        """One value; none before `,` or the end, which is the empty string."""
        if self._peek()[0] in (_END, ","):
            return [""]
        kind, text = self._take()
        if kind != _WORD:
            raise bad_request(f"found '{text}', expected: identifier")
        return [text]

    def _set(self) -> list[str]:
        """`(a, b)`. An empty place between commas or parentheses is the empty string."""
        kind, text = self._take()
        if kind != "(":
            raise bad_request(f"found '{text}' expected: '('")
        values: list[str] = []
        while True:
            kind, text = self._peek()
            if kind == _WORD:
                values.append(text)
                self._take()
            elif kind in (",", ")"):
                values.append("")
            else:
                raise bad_request(f"found '{text}', expected: ',', ')' or identifier")
            kind, text = self._take()
            if kind == ")":
                return values
            if kind != ",":
                raise bad_request(f"found '{text}', expected: ',' or ')'")


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """`path` equals `value`, or differs from it. A field that is absent counts as the empty string."""

    path: str
    value: str
    negated: bool = False

    def matches(self, fields: Mapping[str, str]) -> bool:
        return (fields.get(self.path, "") == self.value) != self.negated

    def __str__(self) -> str:
        escaped = re.sub(r"([\\,=])", r"\\\1", self.value)
        return f"{self.path}{'!=' if self.negated else '='}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Terms that must all hold; none matches everything."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all(term.matches(fields) for term in self.terms)

    def required(self, path: str) -> str | None:
        """The one value that `path` must have, or None: e.g. a list by `metadata.name` is a get."""
        return next((term.value for term in self.terms if term.path == path and not term.negated), None)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(term.path for term in self.terms)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


_FIELD_TERM = re.compile(r"(?:[^\\,]|\\.|\\$)+", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"!=|==|=")


def parse_field_selector(text: str) -> FieldSelector:
    r"""`a.b=c,d!=e`; `\` escapes `,`, `=` and itself in a value. Raises BadRequest."""
    terms = []
    for part in sorted(_FIELD_TERM.findall(text)):
        operator = _FIELD_OPERATOR.search(part)
        if operator is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        value = _unescape(part[operator.end() :])
        terms.append(FieldTerm(part[: operator.start()], value, operator.group() == "!="))
    return FieldSelector(tuple(terms))


def _unescape(value: str) -> str:
    characters = iter(value)
    plain = []
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("\\", ",", "="):
                raise bad_request(f"invalid field selector: invalid escape sequence: \\{escaped}")
            plain.append(escaped)
        elif character in ",=":
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            plain.append(character)
    return "".join(plain)
