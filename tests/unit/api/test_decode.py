"""Request bodies: every encoding gives the same object, and every fault upstream's answer."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.decode import JSON, PROTOBUF, YAML, conform_object, decode, duplicate_fields
from kaa.api.errors import APIError
from kaa.api.protobuf import encode_object

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
STORED = {
    **POD,
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}]},
    "status": {},
}  # fmt: skip


def refused(body: bytes, kind: str = "Pod", content_type: str = JSON, validation: str = "Strict") -> str:
    with pytest.raises(APIError) as failure:
        decode(body, content_type, "v1", kind, field_validation=validation)
    assert failure.value.reason == "BadRequest"
    return failure.value.message


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, orjson.dumps(POD)),
        ("", orjson.dumps(POD)),
        ("application/json; charset=utf-8", orjson.dumps({"metadata": POD["metadata"], "spec": POD["spec"]})),
        (YAML, b"metadata: {name: x}\nspec:\n  containers:\n  - name: c\n    image: i\n"),
        (YAML, orjson.dumps(POD)),
        (PROTOBUF, encode_object(POD)),
    ],
)
def test_encodings(content_type: str, body: bytes) -> None:
    """The same object, whatever carried it; a body need not state its kind."""
    assert decode(body, content_type, "v1", "Pod").object == STORED


def test_unknown_media_type() -> None:
    """The answer names what is accepted."""
    with pytest.raises(APIError) as failure:
        decode(b"", "text/plain", "v1", "Pod")
    assert failure.value.code == 415
    assert "accepted media types include: application/json, application/yaml" in failure.value.message


def test_field_validation() -> None:
    """Strict refuses, Warn warns, Ignore is silent; all drop."""
    body = b'{"spec":{"containers":[],"foo":1,"nodeName":"a","nodeName":"b"},"metadata":{"x":{"y":1,"y":2}}}'
    assert refused(body) == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "spec.foo", unknown field "metadata.x", duplicate field "spec.nodeName"'
    )
    warned = decode(body, JSON, "v1", "Pod", field_validation="Warn")
    assert warned.warnings == (
        'unknown field "spec.foo"',
        'unknown field "metadata.x"',
        'duplicate field "spec.nodeName"',
    )
    ignored = decode(body, JSON, "v1", "Pod", field_validation="Ignore")
    assert ignored.warnings == ()
    assert ignored.object == warned.object
    assert ignored.object["spec"] == {"containers": [], "nodeName": "b"}


UNRECOGNIZED = (
    "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", UNRECOGNIZED + "unexpected end of JSON input (<empty>)"),
        (b"kind: Pod", UNRECOGNIZED + "invalid character 'k' looking for beginning of value (6b696e643a20506f64)"),
        (
            b'{"kind":"Pod","apiVersion":"v1",}',
            UNRECOGNIZED + "invalid character '}' looking for beginning of object key string "
            '({"kind":"Pod","apiVersion":"v1 ...)',
        ),
        (
            b'{"apiVersion":{}}',
            UNRECOGNIZED + "json: cannot unmarshal object into Go struct field .apiVersion of type string "
            '({"apiVersion":{}})',
        ),
        (
            b'{"kind":"Service","apiVersion":"v1"}',
            'Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (core.Pod): '
            "unknown conversion",
        ),
        (
            b'{"kind":"Foo","apiVersion":"v1"}',
            'Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version "v1" in scheme '
            '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            b'{"spec":{"containers":[{"image":1}]}}',
            'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field '
            "Container.spec.containers.image of type string",
        ),
    ],
)  # fmt: skip
def test_bad_bodies(body: bytes, message: str) -> None:
    """Syntax, kind and type errors, as upstream answers them."""
    assert refused(body) == message


def test_other_version_of_the_kind() -> None:
    """A body of another served version is not converted behind the client's back."""
    with pytest.raises(APIError, match="does not match the expected API version"):
        decode(b'{"apiVersion":"autoscaling/v1"}', JSON, "autoscaling/v2", "HorizontalPodAutoscaler")


def test_meta_kinds_belong_to_every_group() -> None:
    """kubectl sends DeleteOptions in the object's own group version."""
    body = b'{"kind":"DeleteOptions","apiVersion":"apps/v1","propagationPolicy":"Background"}'
    assert decode(body, JSON, "v1", "DeleteOptions").object["propagationPolicy"] == "Background"


def test_custom_kinds() -> None:
    """Only the metadata of a custom kind has a type here."""
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "x": 1}, "spec": {"any": [1]}}
    decoded = conform_object(widget, "example.com/v1", "Widget")
    assert decoded.object == {**widget, "metadata": {"name": "w"}}
    assert decoded.warnings == ('unknown field "metadata.x"',)
    with pytest.raises(APIError, match=r"Go struct field ObjectMeta.labels of type map\[string\]string"):
        conform_object({"metadata": {"labels": 1}}, "example.com/v1", "Widget")


@pytest.mark.parametrize("opening", [b'{"spec":', b"[", b'{"spec":{"containers":['])
def test_nesting_is_bounded(opening: bytes) -> None:
    """A body of nothing but brackets is an error, not a crash."""
    assert "exceeded max depth" in refused(opening * 100_000)


def test_yaml_aliases_are_bounded() -> None:
    """A billion laughs is an error, not a billion strings."""
    levels = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 10)]
    assert "excessive aliasing" in refused(b"\n".join(levels), content_type=YAML)
    assert "contains itself" in refused(b"a: &a [*a]", content_type=YAML)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("0777", 511),
        ("0x1f", 31),
        ("1_000", 1000),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("1e3", 1000),
        ("1.50", 1.5),
        ("~", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!int '5'", 5),
        ("0888", 888),
    ],
)
def test_yaml_scalars(text: str, value: Any) -> None:
    """Plain scalars mean what they mean to Go: no dates, no base 60, but yes and octal."""
    revision = decode(b"data: {v: " + text.encode() + b"}", YAML, "apps/v1", "ControllerRevision").object
    assert revision["data"] == {"v": value}


@given(st.binary(max_size=40) | st.text('{}[]",:0123456789.eE+-truefalsn\\ u', max_size=20).map(str.encode))
def test_any_bytes_are_an_object_or_bad_request(body: bytes) -> None:
    """No body of any media type can do worse than a BadRequest."""
    reasons: set[str] = set()
    for content_type in (JSON, YAML, PROTOBUF):
        for prefix in (b"", b"k8s\x00"):
            try:
                decode(prefix + body, content_type, "v1", "Pod", field_validation="Strict")
            except APIError as error:
                reasons.add(error.reason)
    assert reasons <= {"BadRequest"}


@given(
    st.recursive(
        st.integers() | st.text(max_size=3), lambda x: st.dictionaries(st.text("ab", max_size=2), x), max_leaves=6
    )
)
def test_what_is_valid_is_never_called_duplicate(value: Any) -> None:
    """Serialized dicts have no duplicate keys."""
    assert duplicate_fields(json.dumps(value).encode()) == []
