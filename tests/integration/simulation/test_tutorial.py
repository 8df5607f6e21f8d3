"""The tutorial on simulation is a project that works: its blocks are files, and its tests pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[3] / "docs/simulation.md"
BLOCK = re.compile(r"^```python\n# (?P<name>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

FILES = {match["name"]: match["text"] for match in BLOCK.finditer(TUTORIAL.read_text())}
TESTS = sorted(name for name in FILES if name.startswith("test_"))

CONFTEST = """
import pytest

@pytest.fixture
def web():
    from scenarios import web
    return web("web:1")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("project")
    for name, text in {**FILES, "conftest.py": CONFTEST, "pytest.ini": "[pytest]\npythonpath = .\n"}.items():
        (directory / name).write_text(text)
    return directory


def test_every_block_is_a_file() -> None:
    """No block of code in the tutorial goes untested."""
    assert len(re.findall(r"^```python$", TUTORIAL.read_text(), re.MULTILINE)) == len(FILES)
    assert len(TESTS) == 4


@pytest.mark.parametrize("name", TESTS)
def test_the_tutorial(project: Path, name: str) -> None:
    """What people copy from it runs."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_history_is_played_again_from_the_command_line(project: Path) -> None:
    """The command that a violation shows works from the project's directory, and shows every change."""
    command = [sys.executable, "-m", "kaa.cluster.simulation.exploration", "scenarios:rolling_update", "--seed", "17"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " create /registry/apps/deployments/default/web" in done.stdout
    assert "all as they should be; digest " in done.stdout.splitlines()[-1]
