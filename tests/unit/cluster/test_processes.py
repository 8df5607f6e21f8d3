"""A process is more than its number."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from kaa.cluster.processes import ProcessId, end


def test_a_reused_number_is_another_process() -> None:
    """After a crash the number in our file may belong to somebody else, who must not be killed."""
    me = ProcessId.of(os.getpid())
    assert me is not None
    other = ProcessId(me.pid, me.start_ticks - 1)
    assert not other.is_alive
    assert other.open() is None
    other.signal(signal.SIGKILL)  # or this test would end here


def test_end_kills_what_ignores_sigterm() -> None:
    """A component that hangs must not keep `down` from its end."""
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == b"ready\n"
        process = ProcessId.of(stubborn.pid)
        assert process is not None
        end([process], grace_seconds=0.2)
        assert stubborn.wait(5) == -signal.SIGKILL


def test_a_file_names_a_process_only_while_it_lives(tmp_path: Path) -> None:
    """What is left of a killed supervisor must read as "not running"."""
    path = tmp_path / "pid"
    assert ProcessId.load(path) is None
    with subprocess.Popen(["sleep", "60"]) as sleeping:
        process = ProcessId.of(sleeping.pid)
        assert process is not None
        process.save(path)
        assert ProcessId.load(path) == process
        sleeping.kill()
    assert ProcessId.load(path) is None
    path.write_text("{")
    assert ProcessId.load(path) is None


def test_no_process_has_a_huge_number() -> None:
    """Numbers that never were are not an error."""
    assert ProcessId.of(2**22 + 1) is None
    with pytest.raises(ProcessLookupError):
        os.kill(2**22 + 1, 0)
