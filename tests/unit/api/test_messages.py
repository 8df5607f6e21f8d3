"""Messages of published .proto files: the tables are whole, and dicts survive the wire."""

from typing import Any

import pytest

from kaa.api.messages import Messages, cri_messages, etcd_messages, openapi_messages


@pytest.mark.parametrize(
    "messages", [openapi_messages(), etcd_messages(), cri_messages()], ids=["openapi", "etcd", "cri"]
)
def test_tables_are_whole(messages: Messages) -> None:
    """Every message compiles, and every method's request and response exist."""
    for name in messages.names():
        messages.message(name)
    for methods in messages.services.values():
        for method in methods.values():
            messages.message(method.request)
            messages.message(method.response)


def test_methods() -> None:
    """A client is made from these rows."""
    range_ = etcd_messages().method("KV.Range")
    assert (range_.path, range_.request) == ("/etcdserverpb.KV/Range", "RangeRequest")
    assert not range_.server_streams
    watch = etcd_messages().method("Watch.Watch")
    assert (watch.path, watch.client_streams, watch.server_streams) == ("/etcdserverpb.Watch/Watch", True, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            "TxnRequest",
            {
                "compare": [{"result": "GREATER", "target": "MOD", "key": b"k\x00\xff", "mod_revision": 1 << 40}],
                "success": [{"request_put": {"key": b"k", "value": b"", "lease": -1, "prev_kv": True}}],
            },
        ),
        ("WatchCreateRequest", {"key": b"a", "filters": ["NOPUT", "NODELETE"], "start_revision": 5}),
        ("RangeResponse", {"kvs": [{"key": b"a", "version": 3}], "more": False, "count": 7}),
        ("ResponseHeader", {"cluster_id": (1 << 64) - 1}),
    ],
)
def test_round_trips(name: str, value: dict[str, Any]) -> None:
    """Enumerations by name, negative and large numbers, bytes, nested messages, lists of enumerations."""
    assert etcd_messages().decode(name, etcd_messages().encode(name, value)) == value


def test_known_bytes() -> None:
    """Field numbers and wire types as protoc would have them; packed and plain lists of numbers are both understood."""
    compare = {"result": "GREATER", "target": "MOD", "key": b"k", "mod_revision": 5}
    assert etcd_messages().encode("Compare", compare) == b"\x08\x01\x10\x02\x1a\x01k\x30\x05"
    filters = {"filters": ["NODELETE", "NOPUT"]}
    assert etcd_messages().decode("WatchCreateRequest", b"\x2a\x02\x01\x00") == filters
    assert etcd_messages().decode("WatchCreateRequest", b"\x28\x01\x28\x00") == filters
    assert etcd_messages().decode("Compare", b"") == {}
    assert etcd_messages().decode("Compare", b"\x08\x63") == {"result": 99}


def test_what_was_left_out_is_put_back() -> None:
    """A peer that leaves out zeros and one that does not read the same; a message that is absent stays so."""
    status = {"status": {"id": "a", "metadata": {"name": "n"}, "mounts": [{"host_path": "/"}]}}
    completed = cri_messages().completed("ContainerStatusResponse", status)
    assert completed is status
    assert completed["info"] == {}
    found = completed["status"]
    assert (found["exit_code"], found["state"], found["message"]) == (0, "CONTAINER_CREATED", "")
    assert found["metadata"] == {"name": "n", "attempt": 0}
    assert (found["mounts"][0]["readonly"], found["mounts"][0]["propagation"]) == (False, "PROPAGATION_PRIVATE")
    assert "image" not in found
    assert cri_messages().completed("ExecSyncResponse", {}) == {"stdout": b"", "stderr": b"", "exit_code": 0}


def test_text_where_bytes_are_meant() -> None:
    """Values of environment variables became bytes; people write text."""
    encoded = cri_messages().encode("KeyValue", {"key": "a", "value": "ä"})
    assert cri_messages().decode("KeyValue", encoded) == {"key": "a", "value": "ä".encode()}


def test_unknown_fields_are_skipped() -> None:
    """A newer peer may send what we do not know."""
    newer = b"\x0a\x01k" + b"\xfa\x01\x03abc" + b"\xf0\x01\x05" + b"\xf9\x01" + bytes(8) + b"\xfd\x01" + bytes(4)
    assert etcd_messages().decode("PutRequest", newer) == {"key": b"k"}


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05v1", b"\x0a" + b"\xff" * 10 + b"\x01", b"\x0b", b"\xf8"])
def test_garbage(data: bytes) -> None:
    """Bytes that are no message are a ValueError."""
    with pytest.raises(ValueError, match=r"EOF|overflow|wireType"):
        etcd_messages().decode("PutRequest", data)
