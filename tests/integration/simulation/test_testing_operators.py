"""The tutorial on testing operators is a project that works: its blocks are files, and its tests pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[3] / "docs/testing-operators.md"
BLOCK = re.compile(r"^```(?:python|yaml)\n# (?P<name>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\npythonpath = .\n"

FILES = {match["name"]: match["text"] for match in BLOCK.finditer(TUTORIAL.read_text())}
TESTS = sorted(name for name in FILES if name.startswith("test_"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    (directory / "pytest.ini").write_text(INI)
    return directory


def test_every_block_is_a_file() -> None:
    """No block of code in the tutorial goes untested."""
    blocks = re.findall(r"^```(?:python|yaml)$", TUTORIAL.read_text(), re.MULTILINE)
    assert len(blocks) == len(FILES)
    assert len(TESTS) >= 6


@pytest.mark.parametrize("name", TESTS)
def test_the_tutorial(project: Path, name: str) -> None:
    """What people copy from it runs."""
    if "kopf" in FILES[name]:
        pytest.importorskip("kopf")
        pytest.importorskip("kubernetes")
    if "lightkube" in FILES[name]:
        pytest.importorskip("lightkube")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", name]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
