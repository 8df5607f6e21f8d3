"""Control groups of version 2 on a directory that looks like one (these machines have version 1), and conversions."""

from pathlib import Path

import pytest

from kaa.cri.linux.cgroups import UnifiedCgroups, Usage, cpu_weight, detect, legacy_settings, unified_settings

ASKED = {
    "cpu_shares": 1024,
    "cpu_quota": 50_000,
    "cpu_period": 100_000,
    "memory_limit_in_bytes": 1 << 20,
    "cpuset_cpus": "0-1",
    "unified": {"memory.high": "900000"},
}


@pytest.mark.parametrize(("shares", "weight"), [(0, 1), (2, 1), (1024, 39), (262_144, 10_000), (1 << 30, 10_000)])
def test_shares_become_weights_as_everywhere(shares: int, weight: int) -> None:
    """Protects that CPU is divided as with upstream's kubelet and runc."""
    assert cpu_weight(shares) == weight


def test_settings_of_both_versions() -> None:
    """Protects the files and values that limits are written as; what is not asked is not written."""
    assert unified_settings(ASKED) == {
        "cpu.weight": "39",
        "cpu.max": "50000 100000",
        "memory.max": str(1 << 20),
        "cpuset.cpus": "0-1",
        "memory.high": "900000",
    }
    assert unified_settings({"cpu_quota": -1}) == {"cpu.max": "max 100000"}
    assert legacy_settings(ASKED)["cpu", "cpu.cfs_quota_us"] == "50000"
    assert unified_settings({}) == {}
    assert legacy_settings({}) == {}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    return tmp_path


def test_controllers_are_passed_on(root: Path) -> None:
    """Protects limits on version 2: a controller works in a group only if every group above passes it on."""
    groups = detect(root)
    assert isinstance(groups, UnifiedCgroups)
    groups.create("/kaa/pod")
    assert (root / "kaa/pod").is_dir()
    assert (root / "cgroup.subtree_control").read_text() == "+pids"  # each is written by itself; the last one is left


def test_usage_is_read(root: Path) -> None:
    """Protects metrics and OOMKilled; a group that is gone has used nothing."""
    group = root / "pod"
    group.mkdir()
    contents = {
        "memory.current": "1000",
        "memory.stat": "anon 400\ninactive_file 300\npgfault 7\n",
        "memory.max": "max",
        "memory.events": "low 0\noom 1\noom_kill 2\n",
        "cpu.stat": "usage_usec 12\n",
        "pids.current": "3",
    }
    for name, text in contents.items():
        (group / name).write_text(text)
    usage = UnifiedCgroups(root).usage("/pod")
    assert usage == Usage(
        cpu_nanoseconds=12_000,
        memory_bytes=1000,
        working_set_bytes=700,
        rss_bytes=400,
        page_faults=7,
        process_count=3,
        oom_kills=2,
    )
    assert UnifiedCgroups(root).usage("/gone") == Usage()


def test_removing_what_is_gone_succeeds(root: Path) -> None:
    """Protects repeated clean-ups."""
    groups = UnifiedCgroups(root)
    groups.create("/pod/a")
    groups.remove("/pod")
    groups.remove("/pod")
    groups.kill("/pod")
    assert not (root / "pod").exists()
