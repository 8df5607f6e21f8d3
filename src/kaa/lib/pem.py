"""PEM (RFC 7468): base64 between two lines that say what it is. Text between the blocks means nothing."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(r"^-----BEGIN ([^\n-]+)-----[ \t]*\n(.*?)^-----END \1-----[ \t]*$", re.DOTALL | re.MULTILINE)
_HEADERS = re.compile(r"\A(?:[^\n:]+:[^\n]*\n)+\n?")
LINE_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Block:
    type: str
    data: bytes
    has_headers: bool = False


def blocks(text: str) -> Iterator[Block]:
    """Every block that decodes; what does not is passed over."""
    for match in _BLOCK.finditer(text.replace("\r\n", "\n")):
        body = _HEADERS.sub("", match[2])
        try:
            data = base64.b64decode("".join(body.split()), validate=True)
        except binascii.Error:
            continue
        yield Block(match[1], data, has_headers=body != match[2])


def encode(block: Block) -> str:
    """Without headers."""
    text = base64.b64encode(block.data).decode()
    lines = [text[i : i + LINE_CHARACTERS] for i in range(0, len(text), LINE_CHARACTERS)]
    return "\n".join([f"-----BEGIN {block.type}-----", *lines, f"-----END {block.type}-----", ""])
