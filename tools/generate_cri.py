"""Writes src/kaa/cri/generated/messages.txt: CRI's calls and messages. `update` writes it, `verify` compares.

The source is the published api.proto of the Go module k8s.io/cri-api. Names and numbers only: no comment is copied.
Only what Kaa's two services call is kept, and nothing of Windows. The format is told in src/kaa/cri/messages.py.
"""

import re
import sys
from pathlib import Path

from go_types import module_directory

OUTPUT = Path(__file__).parent.parent / "src/kaa/cri/generated/messages.txt"
PROTO = "pkg/apis/runtime/v1/api.proto"

NOT_CALLED = (
    "Stream",
    "Checkpoint",
    "Restore",
    "ListMetric",
    "ListPodSandboxMetrics",
    "UpdatePodSandboxResources",
    "RuntimeConfig",
)
"""Calls (by the beginnings of their names) that neither our kubelet makes nor our runtime serves."""

_COMMENT = re.compile(r"//.*?$|/\*.*?\*/", re.MULTILINE | re.DOTALL)
_RPC = re.compile(r"rpc\s+(\w+)\s*\((\w+)\)\s*returns\s*\((stream\s+)?(\w+)\)")
_FIELD = re.compile(r"^\s*(repeated\s+)?(map<\s*string\s*,\s*(\w+)\s*>|\w+)\s+(\w+)\s*=\s*(\d+)", re.MULTILINE)
_VALUE = re.compile(r"^\s*(\w+)\s*=\s*(\d+);", re.MULTILINE)
_BLOCK = re.compile(r"\b(service|message|enum)\s+(\w+)\s*\{")


def blocks(text: str) -> list[tuple[str, str, str]]:
    """(kind, name, body) of each block, nested ones included; a body does not contain the blocks inside of it."""
    found: list[tuple[str, str, str]] = []
    while match := _BLOCK.search(text):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        body = text[match.end() : end - 1]
        inner = blocks(body) if match[1] == "message" else []
        if inner:
            body = body[: _BLOCK.search(body).start()] + body[body.rindex("}") + 1 :]  # type: ignore[union-attr]
        found += [(match[1], match[2], body), *inner]
        text = text[end:]
    return found


def text() -> str:
    source = _COMMENT.sub("", (module_directory("k8s.io/cri-api") / PROTO).read_text())
    services = {name: body for kind, name, body in blocks(source) if kind == "service"}
    messages = {name: _FIELD.findall(body) for kind, name, body in blocks(source) if kind == "message"}
    enums = {name: _VALUE.findall(body) for kind, name, body in blocks(source) if kind == "enum"}
    lines, needed = [], []
    for service, body in services.items():
        for call, request, stream, reply in _RPC.findall(body):
            if not call.startswith(NOT_CALLED):
                lines.append(f"rpc {service}.{call} {request} {reply}{' stream' if stream else ''}")
                needed += [request, reply]
    done: set[str] = set()
    while needed:
        name = needed.pop(0)
        if name in done or name not in messages | enums:
            continue
        done.add(name)
        if name in enums:
            lines += [f"enum {name}", *(f"{value} {number}" for value, number in enums[name])]
            continue
        lines.append(f"message {name}")
        for repeated, type_, map_value, field, number in messages[name]:
            element = map_value or type_
            if not element.startswith("Windows"):
                prefix = "map[string]" if map_value else "[]" if repeated else ""
                lines.append(f"{field} {number} {prefix}{element}")
                needed.append(element)
    return "\n".join(lines) + "\n"


def main() -> None:
    match sys.argv[1:]:
        case ["update"]:
            OUTPUT.write_text(text())
        case ["verify"]:
            if OUTPUT.read_text() != text():
                raise SystemExit(f"{OUTPUT} is not what its source says: run `python tools/generate_cri.py update`")
        case _:
            raise SystemExit("usage: generate_cri.py update|verify")


if __name__ == "__main__":
    main()
