"""Label and field selectors: both forms, the texts of their errors, and that text and parse agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.errors import APIError
from kaa.api.selectors import (
    NOTHING,
    FieldSelector,
    FieldTerm,
    Requirement,
    Selector,
    parse_field_selector,
    parse_label_selector,
    selector_of,
    selector_of_labels,
)

LABELS = {"app": "web", "tier": "front", "size": "3"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app == web , tier=front", True),
        ("app=db", False),
        ("app!=web", False),
        ("absent!=web", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db,web)", False),
        ("absent notin (a)", True),
        ("app", True),
        ("absent", False),
        ("!app", False),
        ("!absent,app", True),
        ("size>2", True),
        ("size>3", False),
        ("size<10", True),
        ("app>1", False),
        ("absent=", False),
        ("app in ()", False),
        ("in=a", False),
        ("in notin (in,notin)", True),
    ],
)
def test_text_form(text: str, matches: bool) -> None:
    """What each operator selects, also where the label is absent or the keyword is a key."""
    assert parse_label_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!=a", "found '!=', expected: !, identifier, or 'end of string'"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "a>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "-a",
            'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric '
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  "
            "or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
        (
            "a=b/c",
            'unable to parse requirement: values[0][a]: Invalid value: "b/c": a valid label must be an empty string or '
            "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ],
)
def test_text_form_errors(text: str, message: str) -> None:
    """A malformed selector is a BadRequest in the words of upstream's parser."""
    with pytest.raises(APIError) as failure:
        parse_label_selector(text)
    assert (failure.value.reason, failure.value.message) == ("BadRequest", message)


def test_object_form() -> None:
    """LabelSelector objects: labels and expressions together; None nothing, {} everything."""
    selector = selector_of(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "canary", "operator": "DoesNotExist"},
                {"key": "size", "operator": "Exists"},
                {"key": "app", "operator": "NotIn", "values": ["db"]},
            ],
        }
    )
    assert selector.matches(LABELS)
    assert not selector.matches({**LABELS, "canary": ""})
    assert str(selector) == "app=web,app notin (db),!canary,size,tier in (back,front)"
    assert selector_of({}).matches({})
    assert selector_of({}).matches_everything
    assert not selector_of(None).matches({})
    assert not NOTHING.matches(LABELS)
    assert not NOTHING.matches_everything


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"key": "a", "operator": "in"}, '"in" is not a valid label selector operator'),
        (
            {"key": "a", "operator": "In"},
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            {"key": "a", "operator": "Exists", "values": ["b"]},
            'values: Invalid value: ["b"]: values set must be empty for exists and does not exist',
        ),
    ],
)
def test_object_form_errors(expression: dict[str, object], message: str) -> None:
    """What validation lets no spec contain is refused here too, not matched somehow."""
    with pytest.raises(APIError) as failure:
        selector_of({"matchExpressions": [expression]})
    assert failure.value.message == message


names = st.from_regex(r"[a-z0-9]([-a-z0-9_.]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.dictionaries(names, names, max_size=4), st.dictionaries(names, names, max_size=4))
def test_labels_select_their_supersets(chosen: dict[str, str], others: dict[str, str]) -> None:
    """A labels-only selector matches exactly the label sets that contain it."""
    selector = selector_of_labels(chosen)
    assert selector.matches({**others, **chosen})
    assert selector.matches(others) == (chosen.items() <= others.items())


@given(
    st.lists(
        st.one_of(
            st.builds(Requirement, names, st.sampled_from(["=", "==", "!="]), st.tuples(names)),
            st.builds(Requirement, names, st.sampled_from(["exists", "!"])),
            st.builds(
                lambda key, op, values: Requirement(key, op, tuple(sorted(values))),
                names,
                st.sampled_from(["in", "notin"]),
                st.sets(names, min_size=1, max_size=3),
            ),
        ),
        max_size=4,
    )
)
def test_label_text_round_trip(requirements: list[Requirement]) -> None:
    """What a selector says of itself parses back to the same selector."""
    selector = Selector(tuple(sorted(requirements, key=lambda r: r.key)))
    assert parse_label_selector(str(selector)) == selector


FIELDS = {"metadata.name": "x", "status.phase": "Running"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=x", True),
        ("metadata.name==x,status.phase!=Failed", True),
        ("status.phase!=Running", False),
        ("spec.nodeName=", True),
        ("spec.nodeName!=", False),
        (",", True),
    ],
)
def test_field_selectors(text: str, matches: bool) -> None:
    """Equality and its negation; an absent field is the empty string."""
    assert parse_field_selector(text).matches(FIELDS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_field_selector_errors(text: str, message: str) -> None:
    """A malformed field selector is a BadRequest in upstream's words."""
    with pytest.raises(APIError) as failure:
        parse_field_selector(text)
    assert failure.value.message == message


@given(
    st.lists(st.builds(FieldTerm, names, st.text(st.sampled_from("ab,=\\ "), max_size=5), st.booleans()), max_size=3)
)
def test_field_text_round_trip(terms: list[FieldTerm]) -> None:
    """Values with separators in them survive being written and read."""
    text = str(FieldSelector(tuple(terms)))
    parsed = parse_field_selector(text)
    assert sorted(map(str, parsed.terms)) == sorted(map(str, terms))


def test_required_value() -> None:
    """A list by name can be served as a get."""
    selector = parse_field_selector("metadata.name=x,status.phase!=y")
    assert selector.required("metadata.name") == "x"
    assert selector.required("status.phase") is None
    assert selector.paths == ("metadata.name", "status.phase")
