"""Each component alone, as `kaa <component>`: they need nothing of each other but the API and CRI."""

import os
import subprocess
import sys
from pathlib import Path

from kaa.cri.linux import cgroups
from tests.e2e.running import BIN, ROOT

SCRIPT = Path(__file__).with_name("standalone.sh")


def test_components_as_programs_of_their_own(tmp_path: Path) -> None:
    """A node put together by hand runs a pod that has logs, exec, a Service and a name."""
    archive = tmp_path / "hello.tar"
    subprocess.run([sys.executable, str(ROOT / "examples/hello/build_image.py"), str(archive)], check=True)
    # A pid namespace of its own: whatever is still running ends with the script.
    namespaces = ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    try:
        done = subprocess.run(
            [*namespaces, str(SCRIPT), str(tmp_path), str(archive)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        cgroups.detect().remove("/kaa-standalone")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from inside\n" in done.stdout
    assert done.stdout.endswith("all components work\n")
