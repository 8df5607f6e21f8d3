"""SPDY framing: what one side writes the other reads, however the bytes are cut."""

import hashlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.cri.spdy import (
    DICTIONARY,
    DataReceived,
    GoingAway,
    PingReceived,
    SpdyError,
    SpdyFraming,
    StreamOpened,
    StreamReplied,
    StreamReset,
)


def test_the_dictionary_is_the_published_one() -> None:
    """Protects compatibility: zlib names a dictionary by its checksum, and SPDY/3's is this."""
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    assert hashlib.sha256(DICTIONARY).hexdigest().startswith("51d27341373f923f")


@given(
    st.lists(st.dictionaries(st.from_regex(r"\A[a-z]{1,9}\Z"), st.from_regex(r"\A[a-zA-Z0-9 ]{0,20}\Z")), max_size=5),
    st.binary(max_size=100_000),
    st.integers(1, 4000),
)
def test_both_sides_understand_each_other(headers: list[dict[str, str]], data: bytes, cut: int) -> None:
    """Protects the compressor's state over many streams, and frames that arrive in pieces."""
    client, server = SpdyFraming(client=True), SpdyFraming()
    sent = b""
    for each in headers:
        stream_id, frame = client.open_stream(each)
        sent += frame + client.data(stream_id, data, finish=True)
    events = [event for at in range(0, len(sent), cut) for event in server.receive(sent[at : at + cut])]
    opened = [event for event in events if isinstance(event, StreamOpened)]
    assert [(event.stream_id, dict(event.headers)) for event in opened] == [
        (2 * n + 1, h) for n, h in enumerate(headers)
    ]
    for event in opened:
        pieces = [e for e in events if isinstance(e, DataReceived) and e.stream_id == event.stream_id]
        assert b"".join(piece.data for piece in pieces) == data
        assert [piece.finished for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    replies = b"".join(server.reply(event.stream_id) for event in opened)
    assert [type(event) for event in client.receive(replies)] == [StreamReplied] * len(opened)


def control(kind: int, payload: bytes, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, len(payload)) + payload


def test_control_frames() -> None:
    """Protects pings, which keep kubectl's connections alive, and the ends of streams and connections."""
    server = SpdyFraming()
    ping = control(6, struct.pack(">I", 7))
    assert list(server.receive(ping)) == [PingReceived(ping)]
    assert list(server.receive(control(6, struct.pack(">I", 2)))) == []
    assert list(server.receive(control(3, struct.pack(">II", 5, 1)))) == [StreamReset(5)]
    assert list(server.receive(control(7, struct.pack(">II", 0, 0)))) == [GoingAway()]
    assert list(server.receive(control(4, b"\0" * 12) + control(9, b"\0" * 8))) == []


@pytest.mark.parametrize(
    "data",
    [
        control(1, b"\0\0\0\1" + b"\0" * 6 + b"not compressed"),
        control(3, b"\0"),
        control(6, struct.pack(">I", 7), version=2),
        struct.pack(">II", 1, 0xFF_FFFF),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4,
    ],
)
def test_nonsense_ends_the_connection(data: bytes) -> None:
    """Protects the server from peers that speak something else."""
    with pytest.raises(SpdyError):
        list(SpdyFraming().receive(data))


def test_headers_that_unpack_to_too_much_are_refused() -> None:
    """Protects memory from a small frame with huge headers."""
    client = SpdyFraming(client=True)
    _, frame = client.open_stream({"a": "x" * 1_000_000})
    with pytest.raises(SpdyError, match="too long"):
        list(SpdyFraming().receive(frame))
