"""What Go's type declarations say about JSON and protobuf, read from the published Kubernetes modules.

Only facts are kept: names, numbers, types and struct tags. The sources are formatted by gofmt, which puts a field on a
line of its own, so lines and regular expressions are enough; comments are dropped first.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MODULES = {
    "k8s.io/api": "v0.37.2",
    "k8s.io/apimachinery": "v0.37.2",
    "k8s.io/apiextensions-apiserver": "v0.37.2",
    "k8s.io/kube-aggregator": "v0.37.2",
    "k8s.io/cri-api": "v0.37.2",
    "go.etcd.io/etcd/api/v3": "v3.7.3",
    "github.com/google/gnostic-models": "v0.7.0",
}


def module_directory(module: str) -> Path:
    """Where the go command keeps the module's files, downloaded and checked if need be."""
    command = ["go", "mod", "download", "-json", f"{module}@{MODULES[module]}"]
    return Path(json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["Dir"])


@dataclass(frozen=True, slots=True)
class GoField:
    """A struct's field. `json` is "" for an embedded struct whose fields count as the outer's own."""

    name: str
    json: str
    type: str  # as written, with package qualifiers resolved to import paths: `[]*k8s.io/api/core/v1.Container`
    omits_empty: bool
    omits_zero: bool
    number: int  # in protobuf; 0 when the field is not there


@dataclass(slots=True)
class GoPackage:
    path: str
    structs: dict[str, list[GoField]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)  # `type PodPhase string`: what is behind a name


_COMMENT = re.compile(r"//.*?$|/\*.*?\*/", re.MULTILINE | re.DOTALL)
_IMPORT = re.compile(r'^\s*(?:import\s+)?(\w+)?\s*"([\w./-]+)"\s*$', re.MULTILINE)
_STRUCT = re.compile(r"^type (\w+) struct ?\{(?:\}|\n(.*?)^\})", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(
    r"^\s*(?:type )?([A-Z]\w+) (?:= )?(string|\[\]\w+|map\[\w+\][\w.]+|u?int\d*|\w+\.\w+)$", re.MULTILINE
)
_FIELD = re.compile(r"^\s*(?:(\w+)\s+)?([\[\]*\w.]+)\s+`(.*)`\s*$")
_JSON_TAG = re.compile(r'json:"([^"]*)"')
_NUMBER = re.compile(r'protobuf:"\w+,(\d+),')


def read_package(directory: Path, path: str) -> GoPackage:
    package = GoPackage(path)
    for source in sorted(directory.glob("*.go")):
        if source.name.endswith(("_test.go", ".pb.go", "register.go")) or source.name.startswith("zz_"):
            continue
        text = source.read_text()
        imports = {alias or target.rsplit("/", 1)[-1]: target for alias, target in _IMPORT.findall(text)}
        text = _without_comments(text)
        for name, body in _STRUCT.findall(text):
            package.structs[name] = list(_fields(body, imports, path))
        for name, behind in _NAMED.findall(text):
            package.named.setdefault(name, _qualified(behind, imports, path))
    return package


def _without_comments(text: str) -> str:
    """Comments go, but not what looks like one inside a struct tag."""
    return "\n".join(
        line if "`" in line and "//" not in line.split("`")[0] else _COMMENT.sub("", line) for line in text.split("\n")
    )


def _fields(body: str, imports: dict[str, str], path: str) -> Iterator[GoField]:
    for line in body.split("\n"):
        match = _FIELD.match(line)
        if match is None:
            continue
        name, type_, tags = match.groups()
        json_tag = _JSON_TAG.search(tags)
        json_name, *options = (json_tag[1] if json_tag else name or "").split(",")
        number = _NUMBER.search(tags)
        embedded = name is None and not json_name
        if json_name == "-":
            continue
        yield GoField(
            name or type_.rsplit(".", 1)[-1],
            "" if embedded else json_name or name or "",
            _qualified(type_, imports, path),
            "omitempty" in options,
            "omitzero" in options,
            int(number[1]) if number else 0,
        )


_BASIC = {"string", "bool", "byte", "int", "int32", "int64", "uint8", "uint32", "uint64", "float32", "float64", "error"}


def _qualified(type_: str, imports: dict[str, str], path: str) -> str:
    """Every type name with its import path in front, except Go's own."""

    def resolve(match: re.Match[str]) -> str:
        package, name = match.groups()
        if package:
            return f"{imports[package[:-1]]}.{name}"
        return name if name in _BASIC or name == "map" else f"{path}.{name}"

    return re.sub(r"(\w+\.)?(\w+)", resolve, type_)
