"""The directories of local-path volumes on this machine."""

from pathlib import Path

import pytest

from kaa.cluster.local_volumes import NodeDirectories
from kaa.cluster.spec import ClusterSpec


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterSpec:
    monkeypatch.setenv("KAA_HOME", str(tmp_path))
    return ClusterSpec("dev", 0, 6443)


async def test_a_directory_is_made_for_everybody_and_removed_with_its_content(spec: ClusterSpec) -> None:
    """Twice is once: after a crash it is all done again, and what a pod has written meanwhile stays."""
    directories = NodeDirectories(spec)
    path = spec.node_volumes("dev-node-1") / "pvc-1"
    await directories.make("dev-node-1", "pvc-1")
    assert path.stat().st_mode & 0o777 == 0o777
    (path / "data").write_text("kept")
    await directories.make("dev-node-1", "pvc-1")
    assert (path / "data").read_text() == "kept"
    await directories.remove("dev-node-1", "pvc-1")
    await directories.remove("dev-node-1", "pvc-1")
    assert not path.exists()


async def test_only_below_a_node_of_this_cluster(spec: ClusterSpec) -> None:
    """The node's name comes from an annotation, which anybody with the right to write volumes may have written."""
    with pytest.raises(FileNotFoundError):
        await NodeDirectories(spec).remove("../../..", "etc")
