"""What runc is told, from what the kubelet asks."""

from typing import Any

import pytest

from kaa.cri import capabilities
from kaa.cri.linux.host import HostDevice, HostFacts
from kaa.cri.oci_spec import ContainerView, SandboxView, oci_spec
from kaa.cri.users import User, resolve_user

HOST = HostFacts(
    capabilities=frozenset(capabilities.NAMES) - {"SYS_RESOURCE"},
    lowest_oom_score_adj=0,
    open_files=1000,
    unified_cgroups=True,
    swap_accounting=True,
    apparmor=False,
    architecture="amd64",
)
V1 = HostFacts(HOST.capabilities, -1000, 1000, False, False, False, "amd64")
IMAGE = {"Entrypoint": ["/entry"], "Cmd": ["default"], "Env": ["A=1", "PATH=/bin"], "WorkingDir": "/work"}
SANDBOX = SandboxView(
    "s1",
    {"hostname": "pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}},
    {"network": "/run/net", "ipc": "/run/ipc", "uts": "/run/uts", "pid": ""},
    {"/etc/hostname": "/s/hostname", "/etc/resolv.conf": "/s/resolv.conf", "/dev/shm": "/s/shm"},
)


def spec_for(
    config: dict[str, Any] | None = None,
    security: dict[str, Any] | None = None,
    resources: dict[str, Any] | None = None,
    host: HostFacts = HOST,
    **view: Any,
) -> dict[str, Any]:
    linux = {"security_context": security or {}, "resources": resources or {}}
    container = ContainerView(
        id="c1",
        config={"metadata": {"name": "main"}, "linux": linux} | (config or {}),
        image_config=view.pop("image_config", IMAGE),
        image_name="image",
        user=User(0, 0, ()),
        cgroup_path="/kaa/pod/c1",
        root="rootfs",
        **view,
    )
    return oci_spec(container, SANDBOX, host)


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ([], [], ["/entry", "default"]),
        ([], ["own"], ["/entry", "own"]),
        (["run"], [], ["run"]),
        (["run"], ["own"], ["run", "own"]),
    ],
)
def test_command_and_args(command: list[str], args: list[str], expected: list[str]) -> None:
    """Protects the table in Kubernetes' documentation of command, args, ENTRYPOINT and CMD."""
    assert spec_for({"command": command, "args": args})["process"]["args"] == expected


def test_no_command_at_all_is_refused() -> None:
    """Protects the message for an image that says nothing."""
    with pytest.raises(ValueError, match="no command specified"):
        spec_for(image_config={})


def test_environment_and_directory() -> None:
    """Protects precedence: the container's variables over the image's over the runtime's; bytes are text."""
    config = {"envs": [{"key": "A", "value": b"2"}, {"key": "B", "value": "3"}], "tty": True}
    process = spec_for(config)["process"]
    assert process["env"] == ["PATH=/bin", "HOSTNAME=pod", "TERM=xterm", "A=2", "B=3"]
    assert process["cwd"] == "/work"
    assert spec_for({"working_dir": "/own"})["process"]["cwd"] == "/own"
    assert spec_for(image_config={"Cmd": ["x"]})["process"]["cwd"] == "/"


def test_namespaces_are_joined_made_or_the_nodes() -> None:
    """Protects isolation: a path is joined, an empty path is a new one, and none is the node's."""
    kinds = {n["type"]: n.get("path") for n in spec_for()["linux"]["namespaces"]}
    assert kinds == {
        "mount": None,
        "network": "/run/net",
        "ipc": "/run/ipc",
        "uts": "/run/uts",
        "pid": None,
        "cgroup": None,
    }
    assert "cgroup" not in {n["type"] for n in spec_for(host=V1)["linux"]["namespaces"]}


def test_a_plain_container_has_the_default_capabilities() -> None:
    """Protects the default set, and that additions and drops are applied as Kubernetes says."""

    def granted(add: list[str], drop: list[str]) -> list[str]:
        asked = {"add_capabilities": add, "drop_capabilities": drop}
        process = spec_for(security={"capabilities": asked})["process"]
        assert process["capabilities"]["bounding"] == process["capabilities"]["effective"]
        return [name.removeprefix("CAP_") for name in process["capabilities"]["bounding"]]

    assert set(granted([], [])) == capabilities.DEFAULT
    assert granted(["NET_BIND_SERVICE"], ["ALL"]) == ["NET_BIND_SERVICE"]
    assert set(granted(["CAP_SYS_TIME"], ["chown"])) == capabilities.DEFAULT - {"CHOWN"} | {"SYS_TIME"}
    assert set(granted(["ALL"], ["NET_RAW"])) == HOST.capabilities - {"NET_RAW"}
    with pytest.raises(ValueError, match='unknown capability "CAP_NOPE"'):
        granted(["NOPE"], [])


def test_what_the_node_lacks_is_left_out() -> None:
    """Protects machines without CAP_SYS_RESOURCE: runc would die of what it cannot give."""
    process = spec_for(
        security={"capabilities": {"add_capabilities": ["SYS_RESOURCE"]}}, resources={"oom_score_adj": -997}
    )["process"]
    assert "CAP_SYS_RESOURCE" not in process["capabilities"]["bounding"]
    assert process["oomScoreAdj"] == 0
    assert spec_for(resources={"oom_score_adj": -997}, host=V1)["process"]["oomScoreAdj"] == -997
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 1000, "hard": 1000}]


def test_a_privileged_container_is_not_confined() -> None:
    """Protects privileged: all capabilities and devices, nothing masked, /sys writable, no filter."""
    security = {"privileged": True, "masked_paths": ["/proc/kcore"], "seccomp": {"profile_type": "RuntimeDefault"}}
    device = HostDevice("/dev/fuse", "c", 10, 229, 0o666, 0, 0)
    spec = spec_for(security=security, devices=[device])
    assert len(spec["process"]["capabilities"]["bounding"]) == len(HOST.capabilities)
    assert "maskedPaths" not in spec["linux"]
    assert "seccomp" not in spec["linux"]
    assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert [d["path"] for d in spec["linux"]["devices"]] == ["/dev/fuse"]
    assert "rw" in next(m for m in spec["mounts"] if m["destination"] == "/sys")["options"]


def test_devices_are_denied_but_those_given() -> None:
    """Protects the node's disks."""
    device = HostDevice("/dev/fuse", "c", 10, 229, 0o666, 0, 0)
    assert spec_for(devices=[device])["linux"]["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
    ]


def test_mounts_come_in_an_order_that_works() -> None:
    """Protects nested volumes, and that a pod's own mount replaces the runtime's at the same place."""
    mounts = [
        {"host_path": "/v/inner", "container_path": "/data/inner"},
        {"host_path": "/v/outer", "container_path": "/data", "readonly": True},
        {"host_path": "/v/hosts", "container_path": "/etc/resolv.conf"},
        {"host_path": "/v/shm", "container_path": "/dev/shm", "propagation": "PROPAGATION_HOST_TO_CONTAINER"},
    ]
    spec = spec_for(mounts=mounts)
    places = [mount["destination"] for mount in spec["mounts"]]
    assert places.index("/data") < places.index("/data/inner")
    assert len(places) == len(set(places))
    by_place = {mount["destination"]: mount for mount in spec["mounts"]}
    assert by_place["/data"]["options"] == ["rbind", "rprivate", "ro"]
    assert by_place["/etc/resolv.conf"]["source"] == "/v/hosts"
    assert by_place["/etc/hostname"]["source"] == "/s/hostname"
    assert by_place["/dev/shm"]["options"] == ["rbind", "rslave", "rw"]
    assert spec["linux"]["rootfsPropagation"] == "rslave"


def test_a_read_only_root() -> None:
    """Protects readOnlyRootFilesystem, the runtime's own files included."""
    spec = spec_for(security={"readonly_rootfs": True})
    assert spec["root"] == {"path": "rootfs", "readonly": True}
    options = {mount["destination"]: mount["options"] for mount in spec["mounts"]}
    assert "ro" in options["/etc/resolv.conf"]
    assert "rw" in options["/dev/shm"]


def test_limits() -> None:
    """Protects requests and limits: no swap beyond memory where swap is counted, and nothing for what is not asked."""
    asked = {"cpu_shares": 512, "cpu_quota": 50_000, "cpu_period": 100_000, "memory_limit_in_bytes": 1 << 20}
    found = spec_for(resources=asked)["linux"]["resources"]
    assert found["cpu"] == {"shares": 512, "quota": 50_000, "period": 100_000}
    assert found["memory"] == {"limit": 1 << 20, "swap": 1 << 20}
    assert spec_for(resources=asked, host=V1)["linux"]["resources"]["memory"] == {"limit": 1 << 20}
    empty = spec_for()["linux"]["resources"]
    assert (empty["cpu"], empty["memory"]) == ({}, {})


def test_seccomp_profiles() -> None:
    """Protects each profile type; without one a container is unconfined, as Kubernetes' default is."""
    document = {"defaultAction": "SCMP_ACT_ERRNO"}
    assert "seccomp" not in spec_for()["linux"]
    assert "seccomp" not in spec_for(security={"seccomp": {"profile_type": "Unconfined"}})["linux"]
    local = {"seccomp": {"profile_type": "Localhost", "localhost_ref": "/p.json"}}
    assert spec_for(security=local, seccomp=document)["linux"]["seccomp"] == document
    default = spec_for(security={"seccomp": {}})["linux"]["seccomp"]["syscalls"]
    refused = set(default[0]["names"])
    assert {"mount", "unshare", "keyctl", "bpf", "init_module"} <= refused
    assert not {"read", "execve", "clone"} & refused
    able = {"seccomp": {}, "capabilities": {"add_capabilities": ["SYS_ADMIN"]}}
    assert not {"mount", "unshare", "bpf"} & set(spec_for(security=able)["linux"]["seccomp"]["syscalls"][0]["names"])


PASSWD = "root:x:0:0::/:/bin/sh\nweb:x:101:102::/:/bin/sh\nbroken\n"
GROUP = "root:x:0:\nweb:x:102:\nextra:x:300:other,web\n"


@pytest.mark.parametrize(
    ("security", "image_user", "expected"),
    [
        ({}, "", User(0, 0, ())),
        ({}, "web", User(101, 102, (300,))),
        ({}, "101", User(101, 102, (300,))),
        ({}, "web:extra", User(101, 300, ())),
        ({}, "5:6", User(5, 6, ())),
        ({"run_as_user": {"value": 7}}, "web", User(7, 0, ())),
        ({"run_as_user": {}}, "web", User(0, 0, ())),
        ({"run_as_user": {"value": 101}, "run_as_group": {"value": 9}}, "", User(101, 9, (300,))),
        ({"run_as_username": "web", "supplemental_groups": [5, 300, 5]}, "", User(101, 102, (300, 5))),
        (
            {"run_as_username": "web", "supplemental_groups_policy": "Strict", "supplemental_groups": [5]},
            "",
            User(101, 102, (5,)),
        ),
    ],
)
def test_users(security: dict[str, Any], image_user: str, expected: User) -> None:
    """Protects who a container runs as, from the pod, the image, and the image's files."""
    assert resolve_user(security, image_user, PASSWD, GROUP) == expected


@pytest.mark.parametrize("image_user", ["nobody", "web:nogroup"])
def test_unknown_names_are_refused(image_user: str) -> None:
    """Protects from running as root because a name was mistyped."""
    with pytest.raises(ValueError, match="no matching entries"):
        resolve_user({}, image_user, PASSWD, GROUP)
