"""Bodies that are no objects: broken text, bombs, another encoding than they say; and odd custom kinds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.hostile import ANYTHING, BOUNDED, STRINGS
from tests.fuzz.sending import Victim, check

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SHAPES = "/apis/example.com/v1/namespaces/default/shapes"

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
CONTENT_TYPES = (JSON, YAML, PROTOBUF)

MAGIC = b"k8s\x00"
"""What a protobuf body begins with."""

BROKEN = [
    b"\xff\xfe{}",
    b'{"metadata":{"name":"\xff\xc0\x80"}}',
    b'{"metadata":{"name":"\xed\xa0\x80"}}',
    b'{"metadata":{"name":"\\ud800"}}',
    b'{"metadata":{"name":"a"},"data":{"\x00":"b"}}',
    b'{"metadata":{"name":"a"}',
    b'{"metadata":{"name":"a"}}{}',
    b"null",
    b"[]",
    b"[{}]",
    b"1",
    b'"a"',
    b"NaN",
    b"{" * 100_000,
    b"[" * 2_000_000,
    b'{"a":' * 100_000,
    b"[1," * 1_000_000,
    b'{"metadata":{"generation":' + b"9" * 100_000 + b"}}",
    b'{"metadata":{"generation":1e400}}',
    b'{"metadata":{"generation":-0.0}}',
    b'{"metadata":{"deletionGracePeriodSeconds":1e18}}',
    b'{"metadata":' + b" " * 1_000_000 + b"{}}",
    b'{"a":1,' + b",".join(b'"a":1' for _ in range(100_000)) + b"}",
    b'{"metadata":{"labels":{' + b",".join(b'"k%d":"v"' % i for i in range(100_000)) + b"}}}",
    b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9)) for c in range(97, 110)),
    b"a: &a [*a]",
    b"a: *b",
    b"- " * 100_000,
    b"{a: " * 1_000,
    b"? " * 1_000,
    b"a: !!python/object/apply:os.system [ls]",
    b"%TAG ! tag:x\n--- !y z",
    b"---\na: 1\n---\nb: 2\n",
    b"a: 1\na: 2\n<<: {b: 1}",
    b"\t",
    MAGIC,
    MAGIC + b"\x0a\xff\xff\xff\xff\x0f",
    MAGIC + b"\x0a" * 1_000,
    MAGIC + b"\x12\x04\x0a\xff\xff\x7f",
    MAGIC + b"\x0b" * 100_000,
]


@pytest.mark.parametrize("content_type", [*CONTENT_TYPES, "", "text/plain", "a/b;c=\x01", "application/json;" * 500])
@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:16]))
def test_broken_bodies(victim: Victim, content_type: str, body: bytes) -> None:
    """Text of no language, or of too many levels, in any type that it may call itself."""
    for method, path in (("POST", CONFIGMAPS), ("PUT", f"{CONFIGMAPS}/one"), ("POST", DEFINITIONS)):
        check(victim.ask(method, path, body, content_type=content_type, accept=JSON))
    check(victim.ask("DELETE", f"{CONFIGMAPS}/one", body, content_type=content_type))


@BOUNDED
@given(st.binary(max_size=60), st.sampled_from([PODS, CONFIGMAPS, DEFINITIONS]))
def test_random_bytes(victim: Victim, body: bytes, path: str) -> None:
    """Anything at all, read as each encoding."""
    for content_type in CONTENT_TYPES:
        check(victim.ask("POST", path, body, content_type=content_type))
    check(victim.ask("POST", path, MAGIC + body, content_type=PROTOBUF))


@BOUNDED
@given(st.integers(0, 600), st.integers(0, 255))
def test_cut_and_turned_protobuf(victim: Victim, place: int, byte: int) -> None:
    """A good message with one byte changed, or without its end."""
    victim.create(PODS, {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "a", "image": "b"}]}})
    good = victim.ask("GET", f"{PODS}/one", accept=PROTOBUF).body
    at = len(MAGIC) + place % (len(good) - len(MAGIC))
    for body in (good[:at] + bytes([byte]) + good[at + 1 :], good[:at]):
        check(victim.ask("PUT", f"{PODS}/one", body, content_type=PROTOBUF))


@BOUNDED
@given(st.dictionaries(STRINGS, ANYTHING, max_size=4), ANYTHING)
def test_odd_metadata(victim: Victim, odd: dict[str, Any], value: Any) -> None:
    """Every field of metadata with values of any type."""
    for field in ("name", "generateName", "labels", "annotations", "ownerReferences", "finalizers", "managedFields"):
        check(victim.ask("POST", CONFIGMAPS, {"metadata": {"generateName": "odd-", **odd, field: value}}))


@BOUNDED
@given(ANYTHING, ANYTHING, st.sampled_from([("dryRun", "All"), ("propagationPolicy", "Foreground"), ("a", "b")]))
def test_odd_delete_options(victim: Victim, first: Any, second: Any, parameter: tuple[str, str]) -> None:
    """DeleteOptions of any shape, for one object and for all."""
    names = ("gracePeriodSeconds", "propagationPolicy", "preconditions", "dryRun", "orphanDependents")
    for name in names:
        body = {name: first, "preconditions": second}
        for path in (f"{CONFIGMAPS}/one", CONFIGMAPS):
            check(victim.ask("DELETE", path, body, query=[parameter], content_type=JSON))


def shape_definition(schema: Any, **more: Any) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **more}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "shapes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "shapes", "kind": "Shape"},
            "versions": [version],
        },
    }


KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "items", "additionalProperties", "required", "enum", "default", "nullable", "not"),
        *("anyOf", "oneOf", "allOf", "pattern", "format", "minimum", "maximum", "multipleOf", "maxLength", "minItems"),
        *("uniqueItems", "exclusiveMinimum", "$ref", "x-kubernetes-int-or-string", "x-kubernetes-list-type"),
        *("x-kubernetes-list-map-keys", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"),
        *("x-kubernetes-validations", "x-kubernetes-map-type"),
    ]
)
KEYWORD_VALUES = st.sampled_from(
    ["object", "array", "string", "integer", "set", "map", "(", "(a+)+$", "date-time", True, 0, 1e308, [], ["a"], {}]
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(KEYWORDS, st.one_of(KEYWORD_VALUES, ANYTHING), max_size=4),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(STRINGS, inner, max_size=2)}),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner, "allOf": st.just([])}),
    ),
    max_leaves=4,
)


@BOUNDED
@given(SCHEMAS, ANYTHING)
def test_odd_schemas(victim: Victim, schema: Any, value: Any) -> None:
    """A schema that is taken can be validated with, published and taken away again."""
    whole = {"type": "object", "properties": {"spec": schema}}
    answer = victim.ask("POST", DEFINITIONS, shape_definition(whole))
    check(answer)
    if answer.status != 201:
        return
    for body in ({"spec": value}, {"spec": {"a": value}}, {"spec": [value]}, {"spec": "aaaaaaaaaaaaaaaaaaaaaaaaaaa!"}):
        obj = {"apiVersion": "example.com/v1", "kind": "Shape", "metadata": {"name": "one"}, **body}
        check(victim.ask("POST", SHAPES, obj))
        check(victim.ask("PUT", f"{SHAPES}/one", obj))
        check(victim.ask("PATCH", f"{SHAPES}/one", obj, content_type="application/merge-patch+json"))
        query = [("fieldManager", "f")]
        check(victim.ask("PATCH", f"{SHAPES}/one", obj, query=query, content_type="application/apply-patch+yaml"))
        check(victim.ask("GET", SHAPES, accept="application/json;as=Table;v=v1;g=meta.k8s.io"))
        check(victim.ask("DELETE", f"{SHAPES}/one"))
    for path in ("/openapi/v2", "/openapi/v3/apis/example.com/v1", "/apis/example.com/v1"):
        json.loads(victim.ask("GET", path).body)
    check(victim.ask("DELETE", f"{DEFINITIONS}/shapes.example.com"))
    victim.settle()


@BOUNDED
@given(STRINGS, st.sampled_from(["string", "integer", "date", "number", "boolean", "x"]), ANYTHING)
def test_odd_columns(victim: Victim, json_path: str, type_: str, value: Any) -> None:
    """Columns of any path over any object."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for path in (json_path, f".spec{json_path}", ".spec", ".spec.a[0]", ".spec.a[*].b", ".metadata.creationTimestamp"):
        columns = [{"name": "Odd", "type": type_, "jsonPath": path}]
        answer = victim.ask("POST", DEFINITIONS, shape_definition(schema, additionalPrinterColumns=columns))
        check(answer)
        if answer.status == 201:
            obj = {"apiVersion": "example.com/v1", "kind": "Shape", "metadata": {"name": "one"}, "spec": {"a": value}}
            check(victim.ask("POST", SHAPES, obj))
            check(victim.ask("GET", SHAPES, accept="application/json;as=Table;v=v1;g=meta.k8s.io"))
            check(victim.ask("DELETE", f"{SHAPES}/one"))
            check(victim.ask("DELETE", f"{DEFINITIONS}/shapes.example.com"))
            victim.settle()
