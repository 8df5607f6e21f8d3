"""The page on simulated nodes says what is so: its table is the code's, and its code runs."""

import re
import subprocess
import sys
from pathlib import Path

from kaa.cluster.simulation import behaviours

PAGE = (Path(__file__).parents[3] / "docs/simulated-nodes.md").read_text()
BLOCK = re.compile(r"^```python\n# (?P<name>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_table_is_the_codes() -> None:
    """Every annotation is on the page and in the module's docstring, in the same words."""
    assert table(PAGE) == table(behaviours.__doc__ or "")
    named = [re.findall(r"`([a-z-]+)`", line)[0] for line in table(PAGE)[2:]]
    assert sorted(named) == sorted(row.name for row in behaviours.ANNOTATIONS)


def test_the_code_runs(tmp_path: Path) -> None:
    """What people copy from the page works."""
    blocks = {match["name"]: match["text"] for match in BLOCK.finditer(PAGE)}
    assert len(blocks) == PAGE.count("```python")
    for name, text in blocks.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *blocks]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
