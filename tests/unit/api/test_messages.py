"""The CRI's and etcd's messages: the tables are whole, and dicts survive the wire."""

from typing import Any

import pytest

from kaa.api.messages import Messages, cri_messages, etcd_messages


@pytest.mark.parametrize("messages", [cri_messages(), etcd_messages()], ids=["cri", "etcd"])
def test_tables_are_whole(messages: Messages) -> None:
    """Every message compiles, and every method's request and response exist."""
    for name in messages.names():
        messages.message(name)
    for methods in messages.services.values():
        for method in methods:
            messages.message(method.request)
            messages.message(method.response)


def test_methods() -> None:
    """A server and a client are made from these rows."""
    methods = {method.name: method for method in cri_messages().services["RuntimeService"]}
    run = methods["RunPodSandbox"]
    assert (run.path, run.request) == ("/runtime.v1.RuntimeService/RunPodSandbox", "RunPodSandboxRequest")
    assert not run.server_streams
    assert methods["GetContainerEvents"].server_streams
    assert {method.name for method in cri_messages().services["ImageService"]} >= {"PullImage", "ImageStatus"}
    watch = etcd_messages().services["Watch"][0]
    assert (watch.path, watch.client_streams, watch.server_streams) == ("/etcdserverpb.Watch/Watch", True, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VersionResponse", {"version": "0.1.0", "runtime_name": "kaa", "runtime_version": "1"}),
        (
            "ContainerStatusResponse",
            {
                "status": {
                    "id": "c",
                    "state": "CONTAINER_EXITED",
                    "created_at": 1_700_000_000_000_000_000,
                    "exit_code": -1,
                    "labels": {"a": "b", "": ""},
                    "mounts": [{"container_path": "/m", "readonly": True, "propagation": "PROPAGATION_BIDIRECTIONAL"}],
                },
                "info": {"x": "{}"},
            },
        ),
        ("ExecSyncResponse", {"stdout": b"\x00\xff", "stderr": b"", "exit_code": 3}),
        ("LinuxContainerResources", {"cpu_period": 100000, "oom_score_adj": -997, "unified": {"memory.high": "1"}}),
        (
            "UpdatePodSandboxResourcesRequest",
            {"pod_sandbox_id": "s", "overhead": {"cpu_shares": 2}, "resources": {"memory_limit_in_bytes": 1 << 40}},
        ),
        ("RunPodSandboxRequest", {"config": {"linux": {"security_context": {"supplemental_groups": [1, 2, 1 << 33]}}}}),
    ],
)
def test_cri_round_trips(name: str, value: dict[str, Any]) -> None:
    """Enumerations by name, negative and large numbers, bytes, maps, nested messages, lists of numbers."""
    assert cri_messages().decode(name, cri_messages().encode(name, value)) == value


def test_known_bytes() -> None:
    """Field numbers and wire types as protoc would have them; packed and plain lists of numbers are both understood."""
    assert cri_messages().encode("VersionRequest", {"version": "v1"}) == b"\x0a\x02v1"
    assert cri_messages().decode("LinuxSandboxSecurityContext", b"\x2a\x03\x01\x96\x01") == {
        "supplemental_groups": [1, 150]
    }
    assert cri_messages().decode("LinuxSandboxSecurityContext", b"\x28\x01\x28\x02") == {"supplemental_groups": [1, 2]}
    assert cri_messages().decode("ContainerStateValue", b"") == {}
    assert cri_messages().decode("ContainerStateValue", b"\x08\x63") == {"state": 99}
    compare = {"result": "GREATER", "target": "MOD", "key": b"k", "mod_revision": 5}
    assert etcd_messages().encode("Compare", compare) == b"\x08\x01\x10\x02\x1a\x01k\x30\x05"


def test_unknown_fields_are_skipped() -> None:
    """A newer peer may send what we do not know."""
    newer = b"\x0a\x02v1" + b"\xfa\x01\x03abc" + b"\xf0\x01\x05" + b"\xf9\x01" + bytes(8) + b"\xfd\x01" + bytes(4)
    assert cri_messages().decode("VersionRequest", newer) == {"version": "v1"}


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05v1", b"\x0a" + b"\xff" * 10 + b"\x01", b"\x0b", b"\xf8"])
def test_garbage(data: bytes) -> None:
    """Bytes that are no message are a ValueError."""
    with pytest.raises(ValueError, match=r"EOF|overflow|wireType"):
        cri_messages().decode("VersionRequest", data)
