"""DNS messages as bytes (RFC 1035, EDNS0 of RFC 6891): the part that a cluster's name server needs.

A query has one question. An answer repeats it and adds records; owner names that equal the question's are compressed
to a pointer, other names are written out.
"""

import struct
from dataclasses import dataclass

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
CLASS_IN = 1
MAX_UDP_BYTES = 512
"""What a client without EDNS0 takes over UDP."""
EDNS_BYTES = 1232
"""What we take and send over UDP with EDNS0: never fragmented."""


class MalformedMessage(Exception):
    """Bytes that are no query we can read."""


@dataclass(frozen=True, slots=True)
class Record:
    name: str  # without the final dot
    type: int
    ttl_seconds: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Query:
    id: int
    name: str  # lower case, without the final dot
    type: int
    recursion_desired: bool
    question: bytes  # as it came, case kept (clients check it)
    udp_bytes: int  # how much the client takes over UDP
    edns: bool


def encode_name(name: str) -> bytes:
    """A name as labels. Raises UnicodeError or ValueError for a label over 63 bytes."""
    encoded = bytearray()
    for label in name.split(".") if name else ():
        data = label.encode("latin-1")
        if not 0 < len(data) < 64:
            raise ValueError(f"bad DNS label in {name!r}")
        encoded += bytes([len(data)]) + data
    return bytes(encoded) + b"\0"


def parse_query(message: bytes) -> Query:
    """Raises MalformedMessage."""
    try:
        identifier, flags, questions, answers, authorities, additional = struct.unpack_from("!6H", message)
        if flags & 0x8000 or questions != 1 or answers or authorities:
            raise MalformedMessage("not a query with one question")
        labels, position = [], 12
        while length := message[position]:
            if length > 63:
                raise MalformedMessage("compressed or overlong label in a question")
            labels.append(message[position + 1 : position + 1 + length].decode("latin-1").lower())
            position += 1 + length
            if position > 12 + 255:
                raise MalformedMessage("name over 255 bytes")
        kind, _class = struct.unpack_from("!2H", message, position + 1)
        end = position + 5
        udp_bytes, edns = MAX_UDP_BYTES, False
        if additional and message[end : end + 3] == b"\0\0\x29":
            udp_bytes, edns = max(struct.unpack_from("!H", message, end + 3)[0], MAX_UDP_BYTES), True
    except (struct.error, IndexError) as error:
        raise MalformedMessage("truncated message") from error
    return Query(
        identifier, ".".join(labels), kind, bool(flags & 0x0100), message[12:end], min(udp_bytes, EDNS_BYTES), edns
    )


def answer(
    query: Query, code: int, records: list[Record], authority: list[Record], *, recursion: bool, limit_bytes: int
) -> bytes:
    """The reply. What does not fit into `limit_bytes` is left out whole, and the reply marked as truncated."""
    body = b"".join(_record(query, r) for r in records) + b"".join(_record(query, r) for r in authority)
    extra = b"\0" + struct.pack("!HHIH", OPT, EDNS_BYTES, 0, 0) if query.edns else b""
    flags = 0x8400 | (0x0100 if query.recursion_desired else 0) | (0x0080 if recursion else 0) | code
    counts = (len(records), len(authority))
    if 12 + len(query.question) + len(body) + len(extra) > limit_bytes:
        body, counts, flags = b"", (0, 0), flags | 0x0200
    head = struct.pack("!6H", query.id, flags, 1, counts[0], counts[1], 1 if query.edns else 0)
    return head + query.question + body + extra


def _record(query: Query, record: Record) -> bytes:
    owner = b"\xc0\x0c" if record.name == query.name else encode_name(record.name)
    return owner + struct.pack("!HHIH", record.type, CLASS_IN, record.ttl_seconds, len(record.data)) + record.data


def failure(message: bytes, code: int) -> bytes:
    """A reply with no more than a code, to whatever came; "" (no reply) if not even an id can be read."""
    if len(message) < 12 or message[2] & 0x80:
        return b""
    return message[:2] + struct.pack("!5H", 0x8000 | code, 0, 0, 0, 0)


def question_for(name: str, kind: int, identifier: int) -> bytes:
    """A query of ours."""
    return struct.pack("!6H", identifier, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!2H", kind, CLASS_IN)


def address_records(reply: bytes) -> list[Record]:
    """The A, AAAA and CNAME records of another server's reply. Raises MalformedMessage."""
    try:
        _, _, questions, answers, _, _ = struct.unpack_from("!6H", reply)
        position = 12
        for _ in range(questions):
            position = _read_name(reply, position)[1] + 4
        records = []
        for _ in range(answers):
            name, position = _read_name(reply, position)
            kind, _class, ttl, length = struct.unpack_from("!HHIH", reply, position)
            position += 10
            if kind == CNAME:
                records.append(Record(name, kind, ttl, encode_name(_read_name(reply, position)[0])))
            elif kind in (A, AAAA):
                records.append(Record(name, kind, ttl, reply[position : position + length]))
            position += length
    except (struct.error, IndexError, ValueError) as error:
        raise MalformedMessage("unreadable reply") from error
    return records


def _read_name(message: bytes, position: int) -> tuple[str, int]:
    """The name at `position` and where the next field begins; pointers lead backwards only, so it ends."""
    labels: list[str] = []
    end = 0
    while length := message[position]:
        if length >= 0xC0:
            target = struct.unpack_from("!H", message, position)[0] & 0x3FFF
            end = end or position + 2
            if target >= position:
                raise MalformedMessage("a name that points forward")
            position = target
        else:
            labels.append(message[position + 1 : position + 1 + length].decode("latin-1"))
            position += 1 + length
    return ".".join(labels).lower(), end or position + 1
