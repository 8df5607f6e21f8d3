"""What people hand to `apply`: an object, several, YAML text of one or more documents, or a file or folder of such."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeAlias

from kaa.api.objects import Object
from kaa.api.yaml_json import parse_yaml

Manifest: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | Path

SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
"""What begins a document. In a block of text it would have to be indented."""

SUFFIXES = (".yaml", ".yml", ".json")


def objects_of(manifest: Manifest) -> list[Object]:
    """The objects in order; the items of a `List` count for themselves. Raises ValueError, OSError."""
    return [obj for document in _documents(manifest) for obj in _unpacked(document)]


def is_single(manifest: Manifest) -> bool:
    """Whether one object was handed over as itself, so that one is to be returned."""
    return isinstance(manifest, Mapping) and not _is_list(manifest)


def defines(definition: Mapping[str, Any], obj: Mapping[str, Any]) -> bool:
    """Whether the one is the CustomResourceDefinition of the other's kind."""
    if definition["kind"] != "CustomResourceDefinition":
        return False
    spec = definition["spec"]
    group = obj["apiVersion"].rpartition("/")[0]
    return bool((spec["group"], spec["names"]["kind"]) == (group, obj["kind"]))


def _documents(manifest: Manifest) -> Iterator[Any]:
    if isinstance(manifest, Mapping):
        yield dict(manifest)
    elif isinstance(manifest, Path):
        for file in _files(manifest):
            yield from _parse(file.read_text())
    elif isinstance(manifest, str):
        yield from _parse(manifest)
    else:
        yield from (dict(obj) for obj in manifest)


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]


def _parse(text: str) -> Iterator[Any]:
    """Every document that is not empty. The text may be indented as a whole, as it is in code."""
    for document in split_documents(dedent(text)):
        value, duplicates = parse_yaml(document.encode())
        if duplicates:
            raise ValueError(f"yaml: {duplicates[0]}")
        if value is not None:
            yield value


def split_documents(text: str) -> list[str]:
    """The texts of a YAML stream's documents."""
    return [document for document in SEPARATOR.split(text) if document.strip()]


def _is_list(document: Mapping[str, Any]) -> bool:
    return document.get("kind") == "List" and isinstance(document.get("items"), list)


def _unpacked(document: Any) -> Iterator[Object]:
    if not isinstance(document, Mapping) or not document.get("kind") or not document.get("apiVersion"):
        hint = "; the name of a file is given as a pathlib.Path" if str(document).endswith(SUFFIXES) else ""
        raise ValueError(f"not a Kubernetes object, which has apiVersion and kind: {str(document)[:200]}{hint}")
    if _is_list(document):
        for item in document["items"]:
            yield from _unpacked(item)
    elif not (document.get("metadata") or {}).get("name"):
        raise ValueError(f"{document['kind']} needs metadata.name; with generateName it is made by client.create")
    else:
        yield dict(document)
