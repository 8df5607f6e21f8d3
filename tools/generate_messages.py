"""Writes the message tables of etcd, CRI and OpenAPI v2 from their published .proto files: `update`, or `verify`.

Names, numbers and types only, of what is called and all that this needs; the format is told in src/kaa/api/messages.py.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from go_types import module_directory

GENERATED = Path(__file__).parent.parent / "src/kaa/api/generated"


@dataclass(frozen=True, slots=True)
class Source:
    """The .proto files of a module; `roots` are the services and messages that are kept, with all that they name."""

    module: str
    protos: tuple[str, ...]
    roots: tuple[str, ...]
    not_called: tuple[str, ...] = ()  # methods by the beginnings of their names
    no_types: str = ""  # the beginning of the names of types whose fields are left out


SOURCES = {
    "openapi_v2.txt": Source("github.com/google/gnostic-models", ("openapiv2/OpenAPIv2.proto",), ("Document",)),
    "etcd.txt": Source(
        "go.etcd.io/etcd/api/v3",
        ("mvccpb/kv.proto", "etcdserverpb/rpc.proto"),
        ("KV", "Watch", "Lease"),
        not_called=("RangeStream",),
    ),
    # Neither our kubelet makes the calls that are left out, nor does our runtime serve them.
    "cri.txt": Source(
        "k8s.io/cri-api",
        ("pkg/apis/runtime/v1/api.proto",),
        ("RuntimeService", "ImageService"),
        not_called=(
            "Stream",
            "Checkpoint",
            "Restore",
            "ListMetric",
            "ListPodSandboxMetrics",
            "RuntimeConfig",
        ),
        no_types="Windows",
    ),
}

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BLOCK = re.compile(r"\b(message|enum|service|oneof|rpc|extend)\s+(\w+)[^{};]*\{")
_FIELD = re.compile(r"(repeated\s+)?(?:optional\s+)?(map<\s*string\s*,\s*[\w.]+\s*>|[\w.]+)\s+(\w+)\s*=\s*(\d+)[^;]*;")
_VALUE = re.compile(r"(\w+)\s*=\s*(\d+)[^;]*;")
_METHOD = re.compile(r"rpc\s+(\w+)\s*\((stream\s+)?([\w.]+)\)\s*returns\s*\((stream\s+)?([\w.]+)\)")


def table(text: str) -> Iterator[str]:
    text = _COMMENT.sub("", text)
    text = re.sub(r"\boption\s[^;]*;|\breserved\s[^;]*;", "", text)
    package = re.search(r"^package\s+([\w.]+);", text, re.MULTILINE)
    prefix = f"package {package[1]}" if package else ""
    yield from _blocks(text, prefix, "")


def _blocks(text: str, package: str, outer: str) -> Iterator[str]:
    """A block of the output for each message, enum and service, nested ones named `Outer.Inner`."""
    for kind, name, body in _split(text):
        if kind == "message":
            nested = list(_split(body))
            own = body
            for inner_kind, _, inner_body in nested:
                if inner_kind in ("message", "enum"):
                    own = own.replace(inner_body, "")
            own = re.sub(r"\b(message|enum)\s+\w+[^{};]*\{\s*\}", "", own)
            inner_names = {n for k, n, _ in nested if k in ("message", "enum")}
            yield "\n".join([f"message {outer}{name}", *_fields(own, f"{outer}{name}.", inner_names)])
            yield from _blocks("".join(f"{k} {n} {{{b}}}" for k, n, b in nested), package, f"{outer}{name}.")
        elif kind == "enum":
            yield "\n".join([f"enum {outer}{name}", *(f"{n} {v}" for n, v in _VALUE.findall(body))])
        elif kind == "service":
            full = f"{package.removeprefix('package ')}.{name}"
            methods = (
                f"{n} {_last(request)} {_last(answer)}{' client-stream' if a else ''}{' stream' if b else ''}"
                for n, a, request, b, answer in _METHOD.findall(body)
            )
            yield "\n".join([f"service {full}", *methods])


def _split(text: str) -> Iterator[tuple[str, str, str]]:
    """(kind, name, body) of each block at this level."""
    position = 0
    while match := _BLOCK.search(text, position):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield match[1], match[2], text[match.end() : end - 1]
        position = end


def _fields(body: str, scope: str, inner_names: set[str]) -> Iterator[str]:
    body = re.sub(r"\boneof\s+\w+\s*\{", "", body)
    for repeated, type_, name, number in _FIELD.findall(body):
        if type_.startswith("map<"):
            element = type_.rstrip("> ").rpartition(",")[2].strip()
            yield f"{name} {number} map[string]{_last(element)}"
        else:
            short = f"{scope}{type_}" if type_ in inner_names else _last(type_)
            yield f"{name} {number} {'[]' if repeated else ''}{short}"


def _last(type_: str) -> str:
    return type_.rpartition(".")[2]


def needed(blocks: list[str], source: Source) -> list[str]:
    """The roots and what they name, in the order of the .proto files."""
    by_name = {_name(block): block for block in blocks}
    kept: dict[str, str] = {}
    todo = list(source.roots)
    while todo:
        name = todo.pop()
        if name in by_name and name not in kept:
            kept[name] = _reduced(by_name[name], source)
            todo += _named(kept[name])
    return [kept[name] for name in by_name if name in kept]


def _name(block: str) -> str:
    """`KV` of the service etcdserverpb.KV, and a message's or enumeration's own name."""
    kind, name = block.split("\n")[0].split(" ")
    return _last(name) if kind == "service" else name


def _reduced(block: str, source: Source) -> str:
    head, *lines = block.split("\n")
    if head.startswith("service "):
        lines = [line for line in lines if not line.startswith(source.not_called)]
    elif source.no_types:
        lines = [line for line in lines if not line.split(" ")[-1].startswith(source.no_types)]
    return "\n".join([head, *lines])


def _named(block: str) -> Iterator[str]:
    """The types that a block's lines name: a field's one, a method's two."""
    for line in block.split("\n")[1:]:
        for word in line.split(" ")[1:]:
            yield word.removeprefix("[]").removeprefix("map[string]")


def generated(name: str) -> str:
    source = SOURCES[name]
    blocks = [b for proto in source.protos for b in table((module_directory(source.module) / proto).read_text())]
    return "\n\n".join(needed(blocks, source)) + "\n"


def main() -> None:
    if sys.argv[1:] not in (["update"], ["verify"]):
        raise SystemExit("usage: generate_messages.py update|verify")
    for name in SOURCES:
        path = GENERATED / name
        if sys.argv[1] == "update":
            path.write_text(generated(name))
        elif path.read_text() != generated(name):
            raise SystemExit(f"{path} is not what its sources say: run `python tools/generate_messages.py update`")


if __name__ == "__main__":
    main()
