"""A component's log rotates, and takes with it whatever is written to the raw descriptors."""

import subprocess
import sys
from pathlib import Path

from kaa.cluster.logs import KEPT_FILES, files_of

PROGRAM = """
import logging, os, sys
from pathlib import Path
from kaa.cluster import logs
logs.MAX_BYTES = 2000
logs.log_to(Path(sys.argv[1]))
for number in range(200):
    logging.info("line %d", number)
os.write(2, b"a complaint of the interpreter\\n")
os.write(1, b"a child's words\\n")
"""


def test_a_log_rotates_with_its_descriptors(tmp_path: Path) -> None:
    """Else a component that runs for months fills the disk, or its traceback lands in a file that was rotated away."""
    path = tmp_path / "component.log"
    subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True)
    files = files_of(path)
    assert len(files) == KEPT_FILES + 1
    assert files[-1] == path
    assert all(file.stat().st_size < 2200 for file in files)
    assert path.read_text().endswith("a complaint of the interpreter\na child's words\n")
    lines = [line for file in files for line in file.read_text().splitlines() if "line" in line]
    assert lines[-1].endswith("I root: line 199")
