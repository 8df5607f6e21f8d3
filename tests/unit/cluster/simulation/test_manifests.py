"""What people hand to `apply`: which objects are in it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.cluster.simulation.manifests import defines, is_single, objects_of, split_documents

ONE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}
TWO = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "two"}}
LIST = {"apiVersion": "v1", "kind": "List", "items": [ONE, {"apiVersion": "v1", "kind": "List", "items": [TWO]}]}

YAML_ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
YAML_TWO = "apiVersion: v1\nkind: Secret\nmetadata: {name: two}\n"


@pytest.mark.parametrize(
    ("manifest", "objects"),
    [
        (ONE, [ONE]),
        ([ONE, TWO], [ONE, TWO]),
        (LIST, [ONE, TWO]),
        ((), []),
        ("", []),
        ("---\n# nothing\n---\n", []),
        (YAML_ONE, [ONE]),
        (f"{YAML_ONE}---\n{YAML_TWO}", [ONE, TWO]),
        (f"---\n{YAML_ONE}--- # the second\n{YAML_TWO}---\n", [ONE, TWO]),
        (YAML_ONE.replace("\n", "\r\n") + "---\r\n" + YAML_TWO, [ONE, TWO]),
        ('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}', [ONE]),
    ],
)
def test_objects_of(manifest: Any, objects: list[dict]) -> None:
    """Each form gives its objects, in order; a List's items count for themselves."""
    assert objects_of(manifest) == objects


def test_indented_text() -> None:
    """Text that is indented as a whole, as it stands in a test, is the same text."""
    text = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: one}
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: two}
    """
    assert objects_of(text) == [ONE, TWO]


def test_a_block_may_look_like_a_document() -> None:
    """Only at the beginning of a line do three dashes begin a document."""
    text = YAML_ONE + "data:\n  a: |\n    x\n    ---\n    y\n"
    (obj,) = objects_of(text)
    assert obj["data"]["a"] == "x\n---\ny\n"


@given(st.lists(st.sampled_from([YAML_ONE, YAML_TWO]), max_size=5))
def test_splitting(documents: list[str]) -> None:
    """What is joined by lines of dashes is split there again."""
    assert [d.strip() for d in split_documents("---\n".join(documents))] == [d.strip() for d in documents]


def test_files_and_folders(tmp_path: Path) -> None:
    """Of a folder the files that are manifests, by name."""
    (tmp_path / "2.yml").write_text(YAML_TWO)
    (tmp_path / "1.yaml").write_text(YAML_ONE)
    (tmp_path / "README").write_text("not: one")
    assert objects_of(tmp_path) == [ONE, TWO]
    assert objects_of(tmp_path / "2.yml") == [TWO]
    with pytest.raises(FileNotFoundError):
        objects_of(tmp_path / "3.yaml")


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        ("a: 1", "not a Kubernetes object"),
        ("[1, 2]", "not a Kubernetes object"),
        ({"kind": "Pod"}, "not a Kubernetes object"),
        ("kind: [", "yaml: "),
        (YAML_ONE + "kind: Pod\n", 'key "kind" already set in map'),
        ("deployment.yaml", "the name of a file is given as a pathlib.Path"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "ConfigMap needs metadata.name"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}, "made by client.create"),
    ],
)
def test_what_is_none(manifest: Any, error: str) -> None:
    """What is wrong is said before anything is applied."""
    with pytest.raises(ValueError, match=error):
        objects_of(manifest)


def test_defines() -> None:
    """A definition is of one group and kind, in all its versions."""
    spec = {"group": "example.com", "names": {"kind": "Backup"}}
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    assert defines(definition, {"apiVersion": "example.com/v1", "kind": "Backup"})
    assert defines(definition, {"apiVersion": "example.com/v2", "kind": "Backup"})
    assert not defines(definition, {"apiVersion": "example.org/v1", "kind": "Backup"})
    assert not defines(definition, {"apiVersion": "v1", "kind": "Backup"})
    assert not defines(ONE, ONE)


def test_is_single() -> None:
    """One object comes back as itself; everything else as a list."""
    assert is_single(ONE)
    assert not is_single(LIST)
    assert not is_single([ONE])
    assert not is_single(YAML_ONE)
