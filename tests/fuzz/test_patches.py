"""Patches of all four types that are broken, hostile or far too much."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.hostile import ANYTHING, BOUNDED
from tests.fuzz.sending import Victim, check

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DEPLOYMENT = f"{DEPLOYMENTS}/one"
PODS = "/api/v1/namespaces/default/pods"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY)

DOUBLINGS = 40
"""Copies of a value into itself: 2^40 times the memory, for a server that lets it happen."""


def deployment(name: str) -> dict[str, Any]:
    container = {"name": "a", "image": "b", "ports": [{"containerPort": 80}], "env": [{"name": "c", "value": "d"}]}
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template, "replicas": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(autouse=True)
def objects(victim: Victim) -> None:
    victim.create(DEPLOYMENTS, deployment("one"))
    victim.create(CONFIGMAPS, {"metadata": {"name": "one"}, "data": {"a": "b" * 1000}})


def patch(victim: Victim, path: str, body: Any, content_type: str) -> int:
    answer = victim.ask(
        "PATCH", path, body, query=[("fieldManager", "f")] if content_type == APPLY else [], content_type=content_type
    )
    check(answer)
    return answer.status


POINTERS = st.one_of(
    st.sampled_from(
        [
            "",
            "/",
            "//",
            "a",
            "/metadata",
            "/metadata/name",
            "/metadata/labels",
            "/metadata/labels/a~1b~0c",
            "/metadata/labels/~2",
            "/metadata/managedFields",
            "/metadata/resourceVersion",
            "/spec",
            "/spec/replicas",
            "/spec/template/spec/containers",
            "/spec/template/spec/containers/-",
            "/spec/template/spec/containers/0",
            "/spec/template/spec/containers/-1",
            "/spec/template/spec/containers/00",
            "/spec/template/spec/containers/99999999999999999999",
            "/spec/template/spec/containers/²",
            "/spec/template/spec/containers/0/name/x",
            "/spec/template/spec/containers/0/ports/0/containerPort",
            "/kind",
            "/apiVersion",
        ]
    ),
    st.text(max_size=6),
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "", "ADD"]), "path": POINTERS},
    optional={"from": POINTERS, "value": ANYTHING},
)


@BOUNDED
@given(st.lists(st.one_of(OPERATIONS, ANYTHING), max_size=6))
def test_odd_json_patches(victim: Victim, operations: list[Any]) -> None:
    """Operations on what is not there, or not a container, are refused."""
    patch(victim, DEPLOYMENT, operations, JSON_PATCH)
    patch(victim, f"{DEPLOYMENT}/scale", operations, JSON_PATCH)
    patch(victim, f"{DEPLOYMENT}/status", operations, JSON_PATCH)


DIRECTIVES = st.dictionaries(
    st.sampled_from(
        [
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
            "$setElementOrder/ports",
            "$deleteFromPrimitiveList/finalizers",
            "$deleteFromPrimitiveList/args",
            "$unknown",
            "containers",
            "ports",
            "name",
            "args",
        ]
    ),
    st.one_of(ANYTHING, st.sampled_from(["delete", "replace", "merge", ["name"], [{"name": "a"}], [{}], [[]], [None]])),
    max_size=4,
)


@BOUNDED
@given(
    st.sampled_from([MERGE_PATCH, STRATEGIC, APPLY]),
    DIRECTIVES,
    st.sampled_from(["metadata", "spec", "pod", "container"]),
)
def test_odd_directives(victim: Victim, content_type: str, odd: dict[str, Any], where: str) -> None:
    """Directives with values that are none of theirs, at every level."""
    container = {"name": "a", **(odd if where == "container" else {})}
    pod = {"containers": [container], **(odd if where == "pod" else {})}
    spec = {"template": {"spec": pod}, **(odd if where == "spec" else {})}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "one", **(odd if where == "metadata" else {})},
        "spec": spec,
    }
    patch(victim, DEPLOYMENT, body, content_type)


@BOUNDED
@given(st.sampled_from(TYPES), ANYTHING, st.sampled_from([DEPLOYMENT, f"{CONFIGMAPS}/one", f"{CONFIGMAPS}/new"]))
def test_anything_as_a_patch(victim: Victim, content_type: str, body: Any, path: str) -> None:
    """Any JSON value, whatever it is called."""
    patch(victim, path, body, content_type)


@BOUNDED
@given(st.sampled_from(TYPES), st.sampled_from(["metadata", "data", "binaryData", "immutable", "kind"]), ANYTHING)
def test_anything_in_a_patch(victim: Victim, content_type: str, field: str, value: Any) -> None:
    """Any JSON value in a known field."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, field: value}
    patch(victim, f"{CONFIGMAPS}/one", body, content_type)


FIELDS_V1 = st.recursive(
    st.one_of(st.none(), st.just({}), ANYTHING),
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["f:metadata", "f:data", "f:a", 'k:{"name":"a"}', "k:{", "k:[]", "v:1", "v:x", "i:0", "i:-1", ".", "x"]
        ),
        inner,
        max_size=3,
    ),
    max_leaves=6,
)


@BOUNDED
@example({".": 1}, "Apply", "v1")
@example({"f:data": {"k:{": {}}}, "Apply", "v1")
@given(FIELDS_V1, st.sampled_from(["Apply", "Update", "", "x"]), st.sampled_from(["v1", "v2", ""]))
def test_odd_managed_fields(victim: Victim, fields: Any, operation: str, version: str) -> None:
    """Managed fields come from clients too; what cannot be read is refused or dropped, also by the next apply."""
    entry = {
        "manager": "m",
        "operation": operation,
        "apiVersion": version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    metadata = {"name": "managed", "managedFields": [entry]}
    check(victim.ask("POST", CONFIGMAPS, {"metadata": metadata, "data": {"a": "b"}}))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "managed"}, "data": {"a": "c"}}
    patch(victim, f"{CONFIGMAPS}/managed", body, APPLY)
    patch(victim, f"{CONFIGMAPS}/managed", {"metadata": {"managedFields": [entry]}}, MERGE_PATCH)
    patch(victim, f"{CONFIGMAPS}/managed", body, APPLY)


def test_too_many_operations(victim: Victim) -> None:
    """10,000 operations are the most that one JSON patch may have: 413, as upstream."""
    operation = {"op": "test", "path": "/metadata/name", "value": "one"}
    assert patch(victim, f"{CONFIGMAPS}/one", [operation] * 10_000, JSON_PATCH) == 200
    assert patch(victim, f"{CONFIGMAPS}/one", [operation] * 10_001, JSON_PATCH) == 413


def test_copies_that_double(victim: Victim) -> None:
    """A patch of a few kilobytes cannot make an object of terabytes."""
    operations = [{"op": "copy", "from": "/data", "path": f"/data/d{n}"} for n in range(DOUBLINGS)]
    assert patch(victim, f"{CONFIGMAPS}/one", operations, JSON_PATCH) in (400, 413, 422)


def test_copies_of_much(victim: Victim) -> None:
    """Nor can thousands of copies of something large, which need no doubling."""
    large = [{"op": "add", "path": "/data/large", "value": "x" * 500_000}]
    copies = [{"op": "copy", "from": "/data/large", "path": f"/data/d{n}"} for n in range(5_000)]
    assert patch(victim, f"{CONFIGMAPS}/one", [*large, *copies], JSON_PATCH) in (400, 413, 422)


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("levels", [100, 1_000, 100_000])
def test_deep_patches(victim: Victim, content_type: str, levels: int) -> None:
    """Nesting is no way to the end of the stack, in any parser."""
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    body = {
        JSON_PATCH: b'[{"op":"add","path":"/data","value":' + deep + b"}]",
        APPLY: b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"},"data":' + deep + b"}",
    }.get(content_type, b'{"data":' + deep + b"}")
    assert patch(victim, f"{CONFIGMAPS}/one", body, content_type) >= 400


@pytest.mark.parametrize("levels", [100, 1_000, 100_000])
def test_deep_pointers(victim: Victim, levels: int) -> None:
    """A pointer may be as long as the body."""
    operation = {"op": "add", "path": "/a" * levels, "value": 1}
    assert patch(victim, f"{CONFIGMAPS}/one", [operation], JSON_PATCH) in (400, 422)


def test_quadratic_merges(victim: Victim) -> None:
    """Large lists that are merged by key take time in proportion."""
    env = [{"name": f"n{i}", "value": "v"} for i in range(10_000)]
    container = {"name": "a", "env": env}
    body = json.dumps({"spec": {"template": {"spec": {"containers": [container]}}}}).encode()
    assert patch(victim, DEPLOYMENT, body, STRATEGIC) in (200, 413, 422)
    assert patch(victim, DEPLOYMENT, body, STRATEGIC) in (200, 413, 422)
