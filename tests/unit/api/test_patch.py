"""The three kinds of patch. The expected results are what upstream's implementations make of the same patches."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.errors import APIError
from kaa.api.json_patch import MAX_OPERATIONS
from kaa.api.objects import copy_object
from kaa.api.patch import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, apply_patch, merge_patch

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "finalizers": ["f", "g", "h"], "labels": {"a": "1", "b": "2"}},
    "spec": {
        "containers": [
            {"name": "x", "image": "i", "env": [{"name": "A", "value": "1"}], "command": ["run"]},
            {"name": "y", "image": "j"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "t"}],
    },
}


def patched(media_type: str, patch: Any, obj: dict[str, Any] = POD) -> Any:
    before = copy_object(obj)
    result = apply_patch(media_type, orjson.dumps(patch), obj)
    assert obj == before  # the original is never changed
    return result


def strategic(spec: Any) -> Any:
    return patched(STRATEGIC_MERGE_PATCH, {"spec": spec})["spec"]


def test_lists_are_merged_by_key() -> None:
    """An item is found by its name, changed where the patch says so, and others stay."""
    spec = strategic({"containers": [{"name": "y", "image": "k"}]})
    assert spec["containers"] == [POD["spec"]["containers"][0], {"name": "y", "image": "k"}]


def test_new_items_come_where_the_patch_has_them() -> None:
    """The patch's items keep the patch's order; others stay before those that they were before."""
    spec = strategic({"containers": [{"name": "new"}, {"name": "y"}]})
    assert [c["name"] for c in spec["containers"]] == ["new", "x", "y"]


def test_nested_lists_and_atomic_ones() -> None:
    """env merges by name inside a merged container; command and tolerations have no merge strategy."""
    spec = strategic(
        {
            "containers": [{"name": "x", "env": [{"name": "B", "value": "2"}], "command": ["other"]}],
            "tolerations": [{"key": "u"}],
        }
    )
    container = spec["containers"][0]
    assert container["env"] == [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]
    assert container["command"] == ["other"]
    assert spec["tolerations"] == [{"key": "u"}]


def test_delete_and_replace_directives() -> None:
    """`$patch` in an item deletes it, or takes the list over; in a map it empties or replaces that."""
    assert [c["name"] for c in strategic({"containers": [{"name": "x", "$patch": "delete"}]})["containers"]] == ["y"]
    assert strategic({"containers": [{"$patch": "replace"}, {"name": "z"}]})["containers"] == [{"name": "z"}]
    assert strategic({"$patch": "replace", "nodeName": "n"}) == {"nodeName": "n"}
    assert strategic({"$patch": "delete"}) == {}


def test_set_element_order() -> None:
    """kubectl apply sends the whole order of a merged list."""
    spec = strategic({"$setElementOrder/containers": [{"name": "y"}, {"name": "x"}], "containers": []})
    assert [c["name"] for c in spec["containers"]] == ["y", "x"]


def test_retain_keys() -> None:
    """A union: setting the new member removes the one that was set."""
    volume = {"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}
    assert strategic({"volumes": [volume]})["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}]
    with pytest.raises(APIError, match="list does not have"):
        strategic({"volumes": [{**volume, "emptyDir": {}}]})


def test_lists_of_scalars() -> None:
    """Finalizers are a set: added once, taken out by value, ordered on demand."""
    metadata = {"finalizers": ["i", "f"], "$deleteFromPrimitiveList/finalizers": ["g"]}
    result = patched(STRATEGIC_MERGE_PATCH, {"metadata": metadata})["metadata"]["finalizers"]
    assert sorted(result) == ["f", "h", "i"]
    assert result.index("i") < result.index("f")
    order = {"$setElementOrder/finalizers": ["h", "g", "f"]}
    assert patched(STRATEGIC_MERGE_PATCH, {"metadata": order})["metadata"]["finalizers"] == ["h", "g", "f"]


def test_null_deletes() -> None:
    """In maps of any kind, whether the type knows their keys or not."""
    result = patched(STRATEGIC_MERGE_PATCH, {"metadata": {"labels": {"a": None}}, "spec": {"volumes": None}})
    assert result["metadata"]["labels"] == {"b": "2"}
    assert "volumes" not in result["spec"]


def test_new_values_lose_their_directives() -> None:
    """What has nothing to merge with is taken as it is, without directives, nulls and deleted items."""
    probe = {"$patch": "merge", "httpGet": {"path": None, "port": 1}}
    spec = strategic({"initContainers": [{"name": "i", "livenessProbe": probe}, {"name": "j", "$patch": "delete"}]})
    assert spec["initContainers"] == [{"name": "i", "livenessProbe": {"httpGet": {"port": 1}}}]


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"containers": [{"image": "i"}]}}, "does not contain declared merge key: name"),
        ({"spec": {"containers": ["x"]}}, "expecting a list of maps for containers"),
        ({"spec": {"$patch": "x"}}, "unknown patch type: x in map"),
        ([], "Invalid JSON Patch"),
    ],
)
def test_bad_strategic_patches(patch: Any, message: str) -> None:
    """A patch that cannot be meant is BadRequest."""
    with pytest.raises(APIError, match=message) as failure:
        patched(STRATEGIC_MERGE_PATCH, patch)
    assert failure.value.reason == "BadRequest"


def test_custom_kinds_have_no_strategic_patch() -> None:
    """Their lists' keys are unknown; the answer says what is possible."""
    with pytest.raises(APIError, match=r"accepted media types include: application/json-patch\+json") as failure:
        patched(STRATEGIC_MERGE_PATCH, {}, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {}})
    assert failure.value.code == 415
    assert "strategic" not in failure.value.message


@pytest.mark.parametrize(
    ("operations", "path", "value"),
    [
        ([{"op": "add", "path": "/metadata/labels/c~1d", "value": "x"}], "labels", {"a": "1", "b": "2", "c/d": "x"}),
        ([{"op": "remove", "path": "/metadata/labels/a"}], "labels", {"b": "2"}),
        ([{"op": "replace", "path": "/metadata/labels", "value": {}}], "labels", {}),
        ([{"op": "add", "path": "/metadata/finalizers/-", "value": "z"}], "finalizers", ["f", "g", "h", "z"]),
        ([{"op": "add", "path": "/metadata/finalizers/1", "value": "z"}], "finalizers", ["f", "z", "g", "h"]),
        ([{"op": "remove", "path": "/metadata/finalizers/-1"}], "finalizers", ["f", "g"]),
        (
            [{"op": "move", "from": "/metadata/finalizers/0", "path": "/metadata/finalizers/2"}],
            "finalizers",
            ["g", "h", "f"],
        ),
        ([{"op": "copy", "from": "/metadata/labels/a", "path": "/metadata/labels/b"}], "labels", {"a": "1", "b": "1"}),
        (
            [{"op": "test", "path": "/metadata/absent", "value": None}, {"op": "remove", "path": "/metadata/labels/b"}],
            "labels",
            {"a": "1"},
        ),
    ],
)  # fmt: skip
def test_json_patch(operations: Any, path: str, value: Any) -> None:
    """Every operation of RFC 6902, on objects and on lists."""
    assert patched(JSON_PATCH, operations)["metadata"][path] == value


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/name", "value": "q"},
        {"op": "test", "path": "/metadata/labels", "value": True},
        {"op": "remove", "path": "/metadata/absent"},
        {"op": "add", "path": "/absent/x", "value": 1},
        {"op": "add", "path": "/metadata/finalizers/7", "value": 1},
        {"op": "add", "path": "/metadata/finalizers/x", "value": 1},
        {"op": "add", "path": "/metadata/name/x", "value": 1},
        {"op": "move", "from": "/metadata", "path": "/metadata/x"},
        {"op": "frobnicate", "path": "/metadata"},
        {"op": ["add"], "path": "/metadata"},
        {"path": 1, "op": "add"},
    ],
)
def test_json_patches_that_do_not_apply(operation: Any) -> None:
    """422 and nothing is changed, also when an earlier operation was fine."""
    with pytest.raises(APIError) as failure:
        patched(JSON_PATCH, [{"op": "add", "path": "/metadata/labels/ok", "value": "1"}, operation])
    assert failure.value.code == 422
    assert failure.value.message == "the server rejected our request due to an error in our request"


def test_json_patch_limits() -> None:
    """The number of operations is bounded, and a patch is a list."""
    with pytest.raises(APIError, match="maximum operations in a JSON patch is 10000, got 10001") as failure:
        patched(JSON_PATCH, [{"op": "test", "path": "/metadata/name", "value": "p"}] * (MAX_OPERATIONS + 1))
    assert failure.value.code == 413
    with pytest.raises(APIError, match=r"cannot unmarshal object into Go value of type jsonpatch\.Patch"):
        patched(JSON_PATCH, {})
    with pytest.raises(APIError, match="unexpected end of JSON input"):
        apply_patch(JSON_PATCH, b"[", POD)


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.sampled_from("abc"), x, max_size=3),
    max_leaves=8,
)
maps = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(maps, maps)
def test_merge_patch_is_idempotent(target: Any, patch: Any) -> None:
    """RFC 7386: applying a patch twice is applying it once, and what it sets is then there."""
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    for key, value in patch.items():
        assert (key not in once) if value is None else not isinstance(value, int) or once[key] == value


containers = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"image": st.sampled_from("ij")}),
    max_size=4,
    unique_by=lambda c: c["name"],
)


@given(containers, containers)
def test_strategic_merge_is_idempotent_and_loses_nothing(have: Any, want: Any) -> None:
    """Every container of both is there once, the patch's in its order, and a second time changes nothing."""
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": have}}
    once = patched(STRATEGIC_MERGE_PATCH, {"spec": {"containers": want}}, obj)
    assert patched(STRATEGIC_MERGE_PATCH, {"spec": {"containers": want}}, once) == once
    names = [c["name"] for c in once["spec"]["containers"]]
    wanted = [c["name"] for c in want]
    assert sorted(names) == sorted({c["name"] for c in have} | set(wanted))
    assert [name for name in names if name in wanted] == wanted


def test_merge_patch_media_type() -> None:
    """Through the front door, with a media type that has parameters."""
    body = {"metadata": {"labels": None}}
    assert "labels" not in patched(f"{MERGE_PATCH}; charset=utf-8", body)["metadata"]
