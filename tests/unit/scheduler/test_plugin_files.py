"""Plugins from files: the tutorial's own, files that change, and files that are broken."""

import os
import random
import re
from pathlib import Path

import pytest
from tests.unit.scheduler.make import node, pod, snapshot_of

from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.config.configuration import read_configuration
from kaa.scheduler.decision import Placed, Unschedulable, decide
from kaa.scheduler.plugin_files import PluginFile

TUTORIAL = Path(__file__).parents[3] / "docs" / "scheduler-plugins.md"


@pytest.fixture
def tutorial(tmp_path: Path) -> Path:
    """A directory with the tutorial's files."""
    for name, text in re.findall(r"```\w+\n# file: (\S+)\n(.*?)```", TUTORIAL.read_text(), re.DOTALL):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_tutorials_first_plugin(tutorial: Path):
    """Steady pods stay off spot instances, others go there."""
    configuration = read_configuration(None, [tutorial / "spot_instances.py"])
    (profile,) = configuration.profiles
    assert [plugin.weight for plugin in profile.plugins if plugin.name == "SpotInstances"] == [2]
    snapshot = snapshot_of(node("steady"), node("spot", labels={"example.com/lifecycle": "spot"}))
    rng = random.Random(1)
    assert decide(pod("p"), snapshot, profile.plugins, rng) == Placed("spot")
    steady = pod("p", labels={"example.com/steady": "true"})
    assert decide(steady, snapshot, profile.plugins, rng) == Placed("steady")
    alone = snapshot_of(node("spot", labels={"example.com/lifecycle": "spot"}))
    found = decide(steady, alone, profile.plugins, rng)
    assert isinstance(found, Unschedulable)
    assert found.message.startswith("0/1 nodes are available: 1 node(s) were spot instances.")
    assert found.plugins == {"SpotInstances"}


def test_the_tutorials_configuration(tutorial: Path):
    """Two profiles; the second has the plugin with its arguments, and only that."""
    configuration = read_configuration(tutorial / "scheduler.yaml")
    default, licensed = configuration.profiles
    assert [file.path.name for file in configuration.files] == ["licences.py"]
    assert "Licences" not in [plugin.name for plugin in default.plugins]
    snapshot = snapshot_of(node("n"))
    rng = random.Random(1)
    wanted = {"example.com/licence": "cad"}
    for name in ("one", "two"):
        assert decide(pod(name, labels=wanted), snapshot, licensed.plugins, rng) == Placed("n")
        snapshot.add_pod(pod(name, labels=wanted), "n")
    found = decide(pod("three", labels=wanted), snapshot, licensed.plugins, rng)
    assert isinstance(found, Unschedulable)
    assert found.message.startswith("0/1 nodes are available: all 2 licences of cad are in use.")


ROW = "from kaa.scheduler.framework import Plugin, reject_pod\n"


def written(path: Path, reason: str, moment: int) -> None:
    path.write_text(
        f"{ROW}def pre_reject(pod, snapshot):\n    yield reject_pod(snapshot, {reason!r})\n"
        'PLUGIN = Plugin(name="Never", pre_reject=pre_reject)\n'
    )
    os.utime(path, ns=(moment, moment))


def says(file: PluginFile) -> list[str]:
    assert file.plugin.pre_reject is not None
    return [found.reason for found in file.plugin.pre_reject(pod("p"), snapshot_of(node("n")))]


def test_a_file_that_changes_is_loaded_again(tmp_path: Path):
    """The row in the scheduler's hands does what the file says now."""
    path = tmp_path / "never.py"
    written(path, "first", 1)
    file = PluginFile(path)
    assert file.refresh() is None
    assert says(file) == ["first"]
    written(path, "second", 2)
    news = file.refresh()
    assert news is not None
    assert news.is_good
    assert says(file) == ["second"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def reject(:\n", "line 1: SyntaxError"),
        ("x = 1\nraise ValueError('no')\n", "line 2: ValueError: no"),
        ("x = 1\n", "it has neither PLUGIN"),
        ("PLUGIN = 3\n", "it has neither PLUGIN"),
    ],
)
def test_a_file_that_breaks_leaves_the_last_good_one(tmp_path: Path, text: str, why: str):
    """Somebody saves in the middle of a word; the scheduler goes on with what there was."""
    path = tmp_path / "never.py"
    written(path, "first", 1)
    file = PluginFile(path)
    path.write_text(text)
    news = file.refresh()
    assert news is not None
    assert not news.is_good
    assert why in news.text
    assert says(file) == ["first"]
    assert file.refresh() is None  # said once
    path.unlink()
    news = file.refresh()
    assert news is not None
    assert "No such file" in news.text
    written(path, "second", 3)
    file.refresh()
    assert says(file) == ["second"]


def test_a_file_that_is_broken_from_the_start_is_a_mistake(tmp_path: Path):
    """There is no last good version: the scheduler does not start."""
    path = tmp_path / "never.py"
    path.write_text("PLUGIN = 3\n")
    with pytest.raises(BadConfiguration, match=r"never\.py: it has neither PLUGIN"):
        read_configuration(None, [path])
