"""The protobuf codec: against bodies that kubectl sent, and against itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.conform import builtin_conformer
from kaa.api.decode import PROTOBUF, decode
from kaa.api.protobuf import MAGIC, decode_object, encode_object, encode_watch_event, has_protobuf
from kaa.api.schema import builtin_schema

SENT = {
    "create deployment web --image=nginx:1.27 --replicas=3 --port=80": (
        "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412bd010a1f0a0377656212001a0022002a003200380042"
        "005a0a0a036170701203776562128b010803120c0a0a0a0361707012037765621a710a1c0a0012001a0022002a0032003800"
        "42005a0a0a036170701203776562125112330a056e67696e78120a6e67696e783a312e32372a00320a0a001000185022002a"
        "0042006a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a"
        "00280038001a0c0800100018002000280038001a002200"
    ),
    "create namespace demo": (
        "6b3873000a0f0a02763112094e616d657370616365121c0a140a0464656d6f12001a0022002a0032003800420012001a020a001a002200"
    ),
    "create token default --duration=10m": (
        "6b3873000a280a1861757468656e7469636174696f6e2e6b38732e696f2f7631120c546f6b656e52657175657374121d0a10"
        "0a0012001a0022002a00320038004200120320d8041a040a0012001a002200"
    ),
    "create service clusterip web --tcp=80:8080": (
        "6b3873000a0d0a02763112075365727669636512690a1f0a0377656212001a0022002a003200380042005a0a0a0361707012"
        "0377656212420a1b0a0738302d38303830120354435018502207080010903f1a002800120a0a0361707012037765621a0022"
        "09436c757374657249503a00420052005a00600068001a020a001a002200"
    ),
    "auth can-i list pods": (
        "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a656374416363657373"
        "526576696577123d0a100a0012001a0022002a00320038004200121f0a1d0a0764656661756c7412046c6973741a0022002a"
        "04706f647332003a001a08080012001a0020001a002200"
    ),
}
"""What kubectl 1.37 sent for each command."""
WEB = {"app": "web"}
UNDERSTOOD: dict[str, Any] = {
    "create deployment web --image=nginx:1.27 --replicas=3 --port=80": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": WEB},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": WEB},
            "strategy": {},
            "template": {
                "metadata": {"labels": WEB},
                "spec": {
                    "containers": [
                        {"name": "nginx", "image": "nginx:1.27", "ports": [{"containerPort": 80}], "resources": {}}
                    ]
                },
            },
        },
        "status": {},
    },
    "create namespace demo": {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "demo"},
        "spec": {},
        "status": {},
    },
    "create token default --duration=10m": {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": {"expirationSeconds": 600},
        "status": {"token": "", "expirationTimestamp": None},
    },
    "create service clusterip web --tcp=80:8080": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": WEB},
        "spec": {
            "type": "ClusterIP",
            "selector": WEB,
            "ports": [{"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
        "status": {"loadBalancer": {}},
    },
    "auth can-i list pods": {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}},
        "status": {"allowed": False},
    },
}


@pytest.mark.parametrize("command", SENT)
def test_what_kubectl_sends(command: str) -> None:
    """Real bodies are understood, strictly, and survive being written again."""
    expected = UNDERSTOOD[command]
    body = bytes.fromhex(SENT[command])

    def read(body: bytes) -> Any:
        return decode(body, PROTOBUF, expected["apiVersion"], expected["kind"], field_validation="Strict").object

    assert read(body) == expected
    assert read(encode_object(read(body))) == expected


def round_trip(obj: Any) -> Any:
    definition = builtin_schema().for_kind(obj["apiVersion"], obj["kind"])
    assert definition is not None
    return builtin_conformer().conform(definition, decode_object(encode_object(obj), "", ""))[0]


@pytest.mark.parametrize(
    "obj",
    [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "x",
                "creationTimestamp": "2020-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": 0,
                "managedFields": [{"fieldsV1": {"f:spec": {".": {}}}, "time": "1969-12-31T23:59:59Z"}],
            },
            "spec": {
                "priority": -5,
                "volumes": [
                    {"name": "v", "emptyDir": {}},
                    {"name": "c", "configMap": {"name": "m", "defaultMode": 420}},
                ],
                "containers": [
                    {
                        "name": "c",
                        "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                        "livenessProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 10},
                        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    }
                ],
            },
            "status": {"phase": "Running"},
        },
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {},
            "spec": {"renewTime": "2020-01-01T00:00:00.123456Z", "leaseTransitions": 0},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"a": "AP8="}, "type": "Opaque"},
        {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {}, "data": {"a": [None]}, "revision": 7},
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {},
            "spec": {"request": "YQ==", "signerName": "s", "extra": {"a": ["b", "c"]}},
            "status": {},
        },
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {},
            "spec": {
                "group": "g",
                "names": {"plural": "p", "kind": "K"},
                "scope": "Namespaced",
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {
                                "$ref": "r",
                                "x-kubernetes-preserve-unknown-fields": True,
                                "additionalProperties": False,
                                "items": {"type": "string", "enum": [1, "x"], "default": {"a": None}},
                                "properties": {"a": {"additionalProperties": {"items": [{"type": "string"}]}}},
                                "dependencies": {"a": ["b"], "c": {"type": "object"}},
                                "maximum": 1.5,
                            }
                        },
                    }
                ],
            },
            "status": {"conditions": None, "storedVersions": None, "acceptedNames": {"plural": "", "kind": ""}},
        },
    ],
    ids=lambda obj: obj["kind"],
)  # fmt: skip
def test_round_trips(obj: dict[str, Any]) -> None:
    """Every special type: times, quantities, int-or-string, raw JSON, bytes, maps, wrapped lists, nested fields."""
    definition = builtin_schema().for_kind(obj["apiVersion"], obj["kind"])
    assert definition is not None
    assert round_trip(obj) == builtin_conformer().conform(definition, obj)[0]


strings = st.text(max_size=8)
pods = st.fixed_dictionaries(
    {
        "apiVersion": st.just("v1"),
        "kind": st.just("Pod"),
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "name": strings,
                "generation": st.integers(-(1 << 63), (1 << 63) - 1),
                "labels": st.dictionaries(strings, strings, max_size=3),
                "finalizers": st.lists(strings, max_size=3),
                "deletionTimestamp": st.datetimes().map(lambda t: t.replace(microsecond=0).isoformat() + "Z"),
            },
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "hostNetwork": st.booleans(),
                "activeDeadlineSeconds": st.integers(-5, 5),
                "priority": st.integers(-(1 << 31), (1 << 31) - 1),
                "tolerations": st.lists(st.fixed_dictionaries({}, optional={"key": strings}), max_size=3),
            },
        ),
    }
)


@given(pods)
def test_any_pod_round_trips(pod: dict[str, Any]) -> None:
    """Writing and reading is the identity on objects as the server has them."""
    definition = builtin_schema().for_kind("v1", "Pod")
    assert definition is not None
    conformed = builtin_conformer().conform(definition, pod)[0]
    if conformed["metadata"].get("deletionTimestamp") != "1970-01-01T00:00:00Z":  # Go's own encoding makes it null
        assert round_trip(conformed) == conformed


@given(st.binary(max_size=60))
def test_garbage(body: bytes) -> None:
    """Bytes that are no message raise ValueError, whatever they are."""
    for kind in ("Pod", "ConfigMap"):
        try:
            decode_object(MAGIC + b"\x12" + bytes([len(body)]) + body, "v1", kind)
        except ValueError:
            continue


def test_errors() -> None:
    """A body without the magic, cut short, or of a kind that has no protobuf."""
    with pytest.raises(ValueError, match=r"expected prefix \[107 56 115 0\]"):
        decode_object(b"{}", "v1", "Pod")
    with pytest.raises(ValueError, match=r"unexpected EOF"):
        decode_object(encode_object(UNDERSTOOD["create namespace demo"])[:-9], "v1", "Namespace")
    with pytest.raises(ValueError, match=r'no kind "Widget" is registered for version "example\.com/v1"'):
        decode_object(MAGIC, "example.com/v1", "Widget")
    assert has_protobuf("v1", "PodList")
    assert not has_protobuf("meta.k8s.io/v1", "Table")
    assert not has_protobuf("example.com/v1", "Widget")


def test_watch_frames() -> None:
    """A frame is its length and an event that holds a whole body."""
    body = encode_object(UNDERSTOOD["create namespace demo"])
    frame = encode_watch_event("ADDED", body)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert b"ADDED" in frame
    assert frame.endswith(body)
