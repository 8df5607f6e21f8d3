"""Field ownership: the algebra of sets, what a type says of its values, and what writes do to owners."""

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kaa.api.managed_fields import field_sets as fs
from kaa.api.managed_fields.apply import Conflict, apply
from kaa.api.managed_fields.changes import Writer, after_write, difference_of
from kaa.api.managed_fields.compiled import builtin_shape, custom_shape
from kaa.api.managed_fields.entries import (
    ANCIENT,
    APPLY,
    MAX_UPDATE_ENTRIES,
    UPDATE,
    Entry,
    capped,
    entries_of,
    given_entries,
    is_reset,
    managed_fields_of,
)
from kaa.api.managed_fields.shapes import ShapeError, merged_order

# --- sets ---


def nodes(children):
    """Nodes of at most a few elements; a node that leads nowhere is no node."""
    elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])
    inner = st.dictionaries(elements, children, min_size=1, max_size=3)
    return st.builds(lambda node, member: {".": {}, **node} if member else node, inner, st.booleans())


node = st.recursive(st.just({}), nodes, max_leaves=8)
field_sets = st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c"]), node, max_size=3)


def members(fields):
    return set(fs.paths(fields))


@given(field_sets, field_sets)
def test_algebra_is_that_of_sets(a, b):
    """On the members the operations are what they are on any sets; nothing else is left behind."""
    assert members(fs.union(a, b)) == members(a) | members(b)
    assert members(fs.difference(a, b)) == members(a) - members(b)
    assert members(fs.intersection(a, b)) == members(a) & members(b)
    for made in (fs.union(a, b), fs.difference(a, b), fs.intersection(a, b)):
        assert fs.is_field_set(made)
        assert bool(made) == bool(members(made))


@given(field_sets, field_sets)
def test_sets_that_say_the_same_are_equal(a, b):
    """Whatever way a set was made, it is the same value: that is how it is seen that nothing has changed."""
    assert fs.union(a, b) == fs.union(b, a)
    assert fs.union(fs.difference(a, b), fs.intersection(a, b)) == a
    assert fs.difference(a, a) == {}


@given(field_sets, field_sets)
def test_a_set_that_stays_as_it_is_stays_the_same(a, b):
    """That is how it is seen without a look inside that a write has taken nothing and given nothing."""
    ab = fs.union(a, b)
    assert fs.union(ab, b) is ab or not b
    assert fs.difference(a, {"f:d": {}}) is a
    assert fs.difference(fs.difference(a, b), b) == fs.difference(a, b)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:replicas"), ".spec.replicas"),
        (("f:spec", 'k:{"name":"x"}', "f:image"), '.spec[name="x"].image'),
        (('k:{"containerPort":80,"protocol":"TCP"}',), '[containerPort=80,protocol="TCP"]'),
        (("f:finalizers", 'v:"a/b"'), '.finalizers[="a/b"]'),
        (("i:0",), "[0]"),
    ],
)
def test_paths_as_upstream_writes_them(path, text):
    """Tools and people read them in conflicts."""
    assert fs.path_text(path) == text


@pytest.mark.parametrize("value", [None, [], {"spec": {}}, {"f:a": 1}, {"f:a": {"x": {}}}])
def test_what_is_no_set(value):
    """A client's nonsense is not taken for ownership."""
    assert not fs.is_field_set(value)


# --- shapes ---

POD = builtin_shape("v1", "Pod")
SERVICE = builtin_shape("v1", "Service")
WIDGET = custom_shape(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "plain": {"type": "array", "items": {"type": "string"}},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name", "side"],
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": {"type": "string"},
                                "side": {"type": "string", "default": "left"},
                                "weight": {"type": "integer"},
                            },
                        },
                    },
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "whole": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "properties": {"x": {"type": "integer"}},
                    },
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "port": {"x-kubernetes-int-or-string": True},
                },
            }
        },
    }
)


def pod(**spec):
    return {"metadata": {}, "spec": spec}


@pytest.mark.parametrize(
    ("shape", "config", "owned"),
    [
        # Scalars and atomic values are members, what only holds them is not.
        (POD, {"spec": {"nodeName": "a", "hostNetwork": False}}, {"f:spec": {"f:nodeName": {}, "f:hostNetwork": {}}}),
        # A map's entries are members, and so are a list's items.
        (POD, {"metadata": {"labels": {"a": "b"}}}, {"f:metadata": {"f:labels": {"f:a": {}}}}),
        (POD, {"metadata": {"finalizers": ["x"]}}, {"f:metadata": {"f:finalizers": {'v:"x"': {}}}}),
        # An empty object says that it is there; an empty list with keys says nothing.
        (POD, {"spec": {"securityContext": {}, "containers": []}}, {"f:spec": {"f:securityContext": {}}}),
        # A key that is left out is its default.
        (
            SERVICE,
            {"spec": {"ports": [{"port": 80}]}},
            {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}},
        ),
        # References, selectors and resources' like: one field each.
        (
            builtin_shape("rbac.authorization.k8s.io/v1", "RoleBinding"),
            {"roleRef": {"name": "a"}, "subjects": [{"kind": "User"}]},
            {"f:roleRef": {}, "f:subjects": {}},
        ),
        (
            WIDGET,
            {"spec": {"plain": ["a"], "whole": {"x": 1}, "port": 1}},
            {"f:spec": {"f:plain": {}, "f:whole": {}, "f:port": {}}},
        ),
        (WIDGET, {"spec": {"tags": ["a"]}}, {"f:spec": {"f:tags": {'v:"a"': {}}}}),
        (
            WIDGET,
            {"spec": {"parts": [{"name": "a", "weight": 1}]}},
            {"f:spec": {"f:parts": {'k:{"name":"a","side":"left"}': {".": {}, "f:name": {}, "f:weight": {}}}}},
        ),
        # What the schema does not say is deduced: maps by their keys, lists as one.
        (
            WIDGET,
            {"spec": {"any": {"a": {"b": 1}, "c": [1]}}},
            {"f:spec": {"f:any": {"f:a": {".": {}, "f:b": {}}, "f:c": {}}}},
        ),
    ],
)
def test_what_a_configuration_owns(shape, config, owned):
    assert shape.owned(config) == owned


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"spec": []}, ".spec: expected map, got &{[]}"),
        ({"spec": {"containers": {}}}, None),
        ({"spec": {"containers": {"a": 1}}}, ".spec.containers: expected list, got &{map[a:1]}"),
        (
            {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
            '.spec.containers: duplicate entries for key [name="a"]',
        ),
        ({"metadata": {"finalizers": [{}]}}, ".metadata.finalizers: associative list without keys has an element"),
    ],
)
def test_a_configuration_that_does_not_fit(config, why):
    """Told where and why, in upstream's words."""
    if why is None:
        assert POD.owned(config) is not None
        return
    with pytest.raises(ShapeError) as refused:
        POD.owned(config)
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize(
    ("old", "new", "changed", "removed"),
    [
        # A new object owns what holds its fields too, unless its kind always writes that.
        (
            {},
            {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "resources": {}}]}},
            {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {"f:containers": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:resources": {}}}},
            },
            {},
        ),
        (pod(nodeName="a"), pod(nodeName="b"), {"f:spec": {"f:nodeName": {}}}, {}),
        (pod(nodeName="a"), pod(), {}, {"f:spec": {"f:nodeName": {}}}),
        (
            pod(containers=[{"name": "x", "image": "1"}, {"name": "y"}]),
            pod(containers=[{"name": "x", "image": "2"}]),
            {"f:spec": {"f:containers": {'k:{"name":"x"}': {"f:image": {}}}}},
            {"f:spec": {"f:containers": {'k:{"name":"y"}': {".": {}, "f:name": {}}}}},
        ),
        # The order of a list with keys is nobody's.
        (pod(containers=[{"name": "x"}, {"name": "y"}]), pod(containers=[{"name": "y"}, {"name": "x"}]), {}, {}),
        # Items that stood in an old object twice are one field.
        (
            pod(tolerations=[], hostAliases=[{"ip": "1", "hostnames": ["a"]}, {"ip": "1"}]),
            pod(tolerations=[], hostAliases=[{"ip": "1", "hostnames": ["b"]}, {"ip": "1"}]),
            {"f:spec": {"f:hostAliases": {'k:{"ip":"1"}': {}}}},
            {},
        ),
    ],
)
def test_what_differs(old, new, changed, removed):
    done = difference_of(POD, old, new)
    assert (done.changed, done.removed) == (changed, removed)


@pytest.mark.parametrize(
    ("live", "applied", "merged"),
    [
        ("asb", "xsy", "axsby"),
        ("abc", "ca", "bca"),
        ("ab", "", "ab"),
        ("", "ba", "ba"),
        ("abc", "b", "abc"),
        ("aab", "b", "ab"),
    ],
)
def test_order_of_a_merged_list(live, applied, merged):
    """The applier's items in his order; the others keep their places between them."""
    assert "".join(merged_order(list(live), list(applied))) == merged


# --- entries ---

FIELDS = {"f:spec": {"f:size": {}}}


def entry(manager, operation=UPDATE, time="2030-01-01T00:00:00Z", fields=FIELDS, version="v1"):
    return Entry(manager, operation, version, "", time, fields)


@given(field_sets)
def test_fields_are_written_in_order(fields):
    """FieldsV1 is compared byte by byte: protobuf keeps the order of the bytes, what goes through JSON is sorted."""
    (given,) = given_entries([{"manager": "me", "operation": UPDATE, "fieldsV1": fields}])
    written = given.to_object()["fieldsV1"]
    assert written == fields
    assert orjson.dumps(written) == orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def test_entries_on_the_wire():
    """Appliers first, then by time; an entry that owns nothing is not written; what is read is what was written."""
    entries = [entry("late", time="2030-01-02T00:00:00Z"), entry("early"), entry("a", APPLY), entry("gone", fields={})]
    written = managed_fields_of(entries)
    assert [e["manager"] for e in written] == ["a", "early", "late"]
    assert managed_fields_of(entries_of(written)) == written
    assert given_entries(written) == entries_of(written)
    assert given_entries([{"manager": "x", "operation": "Nonsense"}]) == []


@pytest.mark.parametrize(("given", "reset"), [(None, False), ([], True), ([{}], True), ([{"manager": "a"}], False)])
def test_reset(given, reset):
    assert is_reset(given) is reset


def test_no_more_than_so_many_updates_are_kept():
    """The oldest become one that nobody claims, so that an object that many write does not grow without end."""
    entries = [
        entry(f"m{n}", time=f"2030-01-01T00:00:{n:02}Z", fields={f"f:{n}": {}}) for n in range(MAX_UPDATE_ENTRIES + 2)
    ]
    kept = capped([*entries, entry("applier", APPLY)])
    assert len(kept) == MAX_UPDATE_ENTRIES + 1
    (ancient,) = [e for e in kept if e.manager == ANCIENT]
    assert ancient.fields == {"f:0": {}, "f:1": {}, "f:2": {}}
    assert ancient.time == "2030-01-01T00:00:02Z"
    assert capped(kept) == kept


# --- writes ---


def writer(manager):
    return Writer(manager, "v1", "", "2030-01-01T00:00:00Z")


def compare(old, new):
    done = difference_of(WIDGET, old, new)
    return lambda version: done


def applied(live, config, entries, manager, *, force=False):
    return apply(WIDGET, live, config, entries, writer(manager), compare, force=force)


def test_an_update_takes_what_it_changes():
    """The changed field has one owner afterwards, and the removed one none."""
    before = {"spec": {"size": 1, "port": 1}}
    entries = after_write([], writer("a"), compare({}, before))
    after = after_write(entries, writer("b"), compare(before, {"spec": {"size": 2}}))
    owners = {e.manager: e.fields for e in after}
    assert owners["b"] == {"f:spec": {"f:size": {}}}
    assert owners["a"] == {"f:spec": {}}
    assert after_write(after, writer("b"), compare(before, before)) is after


def test_a_version_that_is_gone_owns_nothing():
    """Its paths mean nothing any more."""
    old = entry("old", version="v0")
    done = difference_of(WIDGET, {}, {"spec": {"size": 1}})
    after = after_write([old], writer("new"), {"v1": done}.get)
    assert [e.manager for e in after] == ["new"]


def test_what_is_emptied_goes():
    """Others may own that it was there, but once all in it is dropped nothing is left to show it by."""
    before = {"spec": {"any": {"a": 1}, "tags": ["x"]}}
    others = after_write([], writer("other"), compare({}, {"spec": {"any": {}, "tags": []}}))
    mine = applied(before, before, others, "me")
    left = applied(mine.object, {"spec": {"size": 1}}, mine.entries, "me")
    assert left.object == {"spec": {"size": 1}}
    owners = {e.manager: e.fields for e in left.entries}
    assert owners["other"] == {"f:spec": {".": {}, "f:any": {}, "f:tags": {}}}


def test_dropping_an_item_drops_what_was_defaulted_in_it():
    """What others have set in it keeps a field, but an item goes with all that is in it."""
    first = applied({}, {"spec": {"parts": [{"name": "a"}, {"name": "b"}], "size": 1}}, [], "me")
    live = {"spec": {**first.object["spec"], "parts": [{**p, "side": "left"} for p in first.object["spec"]["parts"]]}}
    second = applied(live, {"spec": {"parts": [{"name": "b"}]}}, first.entries, "me")
    assert second.object == {"spec": {"parts": [{"name": "b", "side": "left"}]}}


# Lists and maps are not empty: an empty list with keys is nobody's, and what is emptied goes.
names = st.sampled_from(["a", "b", "c"])
parts = st.lists(
    st.fixed_dictionaries({"name": names}, optional={"weight": st.integers(0, 3)}),
    unique_by=lambda part: part["name"],
    min_size=1,
    max_size=3,
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "spec": st.fixed_dictionaries(
            {"port": st.just(1)},
            optional={
                "size": st.integers(0, 3),
                "tags": st.lists(names, unique=True, min_size=1, max_size=3),
                "parts": parts,
                "labels": st.dictionaries(names, names, min_size=1, max_size=3),
                "whole": st.just({"x": 1}),
                "any": st.recursive(
                    st.integers(0, 2), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=2), max_leaves=4
                ),
            },
        )
    },
)


@given(configs, configs)
def test_the_same_apply_again_changes_nothing(first, second):
    """Whatever was there: once applied, a configuration is applied."""
    live = applied({}, first, [], "other")
    once = applied(live.object, second, live.entries, "me", force=True)
    again = applied(once.object, second, once.entries, "me")
    assert again.object == once.object
    assert managed_fields_of(again.entries) == managed_fields_of(once.entries)


@given(configs, configs)
def test_disjoint_appliers_commute(first, second):
    """Two that want different things may come in any order; both have what they want."""
    try:
        a = applied({}, first, [], "a")
        ab = applied(a.object, second, a.entries, "b")
        b = applied({}, second, [], "b")
        ba = applied(b.object, first, b.entries, "a")
    except Conflict:
        return
    assert difference_of(WIDGET, ab.object, ba.object).changed == {}
    owners = [{e.manager: e.fields for e in result.entries} for result in (ab, ba)]
    assert owners[0] == owners[1]


def alike(one: object, two: object) -> bool:
    """Whether what both have is a map in both or in neither.

    An untyped map that one turns into a scalar takes others' fields with it and is no conflict, as upstream's.
    """
    if isinstance(one, dict) and isinstance(two, dict):
        return all(alike(one[key], two[key]) for key in one.keys() & two.keys())
    return isinstance(one, dict) == isinstance(two, dict)


@given(configs, configs)
def test_what_one_applies_and_drops_is_gone(first, second):
    """An applier who wants nothing any more leaves what the other has, and nothing else."""
    assume(alike(first, second))
    other = applied({}, first, [], "other")
    try:
        mine = applied(other.object, second, other.entries, "me")
    except Conflict:
        return
    left = applied(mine.object, {}, mine.entries, "me")
    assert WIDGET.owned(left.object) == WIDGET.owned(other.object)
    assert [e.manager for e in left.entries] == [e.manager for e in other.entries]
