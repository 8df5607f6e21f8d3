"""Whole scenes in namespaces of their own, each a script that a person could type."""

import os
import subprocess
import sys
from pathlib import Path

from kaa.cri.linux import cgroups
from tests.e2e.running import BIN, ROOT

# A pid namespace of its own: whatever is still running ends with the script.
NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]


def play(script: str, directory: Path) -> str:
    """Runs the script with a work directory and the sample's image; returns what it printed."""
    archive = directory / "hello.tar"
    subprocess.run([sys.executable, str(ROOT / "examples/hello/build_image.py"), str(archive)], check=True)
    words = [*NAMESPACES, str(Path(__file__).with_name(script)), str(directory), str(archive)]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(directory)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_components_as_programs_of_their_own(tmp_path: Path) -> None:
    """A node put together by hand runs a pod that has exec, a Service and a name: all meet at the API and CRI."""
    try:
        printed = play("standalone.sh", tmp_path)
    finally:
        cgroups.detect().remove("/kaa-standalone")
    assert "from inside\n" in printed
    assert printed.endswith("all components work\n")


def test_pods_reach_the_outside_through_the_host(tmp_path: Path) -> None:
    """Masqueraded as the host, by names that the host's resolver knows; pod and service ranges never get out."""
    printed = play("outside.sh", tmp_path)
    assert "outside saw: 203.0.113.2\n" in printed
    assert printed.endswith("the way out works\n")
