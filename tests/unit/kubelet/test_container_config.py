"""Pods as CRI configurations."""

from pathlib import Path
from typing import Any

import pytest

from kaa.kubelet.container_config import NodeFacts, Prepared, container_config, pod_cgroup, sandbox_config
from kaa.kubelet.delays import RESTART_BACKOFF, DelayTable
from kaa.kubelet.dns_config import Resolver, parse_resolv_conf
from kaa.kubelet.environment import ConfigError, environment, service_variables
from kaa.kubelet.expansion import expand
from kaa.kubelet.field_ref import PodFacts, field_value, resource_value
from kaa.kubelet.hosts_file import hosts_file
from kaa.kubelet.image_credentials import credentials
from kaa.kubelet.images import pull_policy, with_default_tag
from kaa.kubelet.resources import container_resources, cpu_quota, cpu_shares, pod_requests
from kaa.kubelet.security_context import check_non_root
from kaa.kubelet.status_patch import status_patch
from kaa.lib.clock import parse_rfc3339

NODE = NodeFacts(
    resolver=Resolver(("8.8.8.8",), ("corp",), ("timeout:1",)),
    cluster_dns=("10.96.0.10",),
    cgroup_root="/kubepods",
    memory_capacity_bytes=8 * 1024**3,
)


class Objects:
    """ConfigMaps and Secrets by kind and name, in place of the API."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self._objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}

    async def get(self, kind: str, namespace: str, name: str, *, fresh: bool = False) -> dict[str, Any] | None:
        return self._objects.get((kind, name))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(NONE)", "$(NONE)"), ("$A $(A)$(A)", "$A 11"), ("$", "$"), ("$(A", "$(A")],
)
def test_expansion(text: str, expanded: str) -> None:
    """$(VAR) is replaced when known; $$ escapes; all else stays."""
    assert expand(text, {"A": "1"}) == expanded


async def test_environment(make_pod: Any) -> None:
    """Every source of a variable; later ones see and win over earlier ones; optional ones may be missing."""
    config = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v", "A": "from"}}
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "aHVzaA=="}}
    container = {
        "name": "a",
        "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "P_"}, {"secretRef": {"name": "x", "optional": True}}],
        "env": [
            {"name": "ONE", "value": "1"},
            {"name": "TWO", "value": "$(ONE)$(P_A)$(WEB_SERVICE_HOST)"},
            {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
            {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "none", "optional": True}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ],
    }
    facts = PodFacts(make_pod({"containers": [container]}), ("10.0.0.9",))
    found = await environment(facts, container, Objects(config, secret), {"WEB_SERVICE_HOST": "10.96.0.5"})
    assert found == {
        "WEB_SERVICE_HOST": "10.96.0.5",
        "P_k": "v",
        "P_A": "from",
        "ONE": "1",
        "TWO": "1from10.96.0.5",
        "PASS": "hush",
        "IP": "10.0.0.9",
        "CPU": "2",
        "MEM": "64",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "none"}}, "couldn't find key none in ConfigMap default/c"),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
    ],
)
async def test_environment_that_cannot_be_made(make_pod: Any, source: dict[str, Any], message: str) -> None:
    """What is missing is named as upstream names it: people search for these texts."""
    container = {"name": "a", "env": [{"name": "X", "valueFrom": source}]}
    objects = Objects({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}})
    with pytest.raises(ConfigError) as failure:
        await environment(PodFacts(make_pod()), container, objects, {})
    assert str(failure.value) == message


def test_service_variables(make_pod: Any) -> None:
    """Own services when links are on, kubernetes always, headless and foreign ones never."""

    def service(name: str, namespace: str, ip: str) -> dict[str, Any]:
        ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
        return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": ports}}

    services = [
        service("my-web", "default", "10.96.0.5"),
        service("other", "kube-system", "10.96.0.6"),
        service("headless", "default", "None"),
        service("kubernetes", "default", "10.96.0.1"),
    ]
    found = service_variables(services, make_pod())
    assert found["MY_WEB_SERVICE_HOST"] == "10.96.0.5"
    assert found["MY_WEB_SERVICE_PORT_HTTP"] == "80"
    assert found["MY_WEB_PORT"] == "tcp://10.96.0.5:80"
    assert found["MY_WEB_PORT_80_TCP_ADDR"] == "10.96.0.5"
    assert not any(name.startswith(("OTHER", "HEADLESS")) for name in found)
    without = service_variables(services, make_pod({"enableServiceLinks": False}))
    assert set(without) == {name for name in found if name.startswith("KUBERNETES")}


def test_downward_fields(make_pod: Any) -> None:
    """Labels by name and as a whole; an absent limit is what the node has."""
    pod = make_pod()
    pod["metadata"]["labels"] = {"b": 'x"y', "a": "1"}
    facts = PodFacts(pod, allocatable={"memory": "1Gi"})
    assert field_value(facts, "metadata.labels['a']") == "1"
    assert field_value(facts, "metadata.labels") == 'a="1"\nb="x\\"y"'
    assert resource_value(facts, {"resource": "limits.memory", "divisor": "1Mi"}, "a") == "1024"
    assert resource_value(facts, {"resource": "requests.memory"}, "a") == "0"


def test_dns(make_pod: Any) -> None:
    """Each dnsPolicy, with dnsConfig on top."""

    def dns(**spec: Any) -> Any:
        return sandbox_config(make_pod(spec), 0, NODE)["dns_config"]

    assert dns() == {
        "servers": ["10.96.0.10"],
        "searches": ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp"],
        "options": ["ndots:5"],
    }
    assert dns(dnsPolicy="Default") == {"servers": ["8.8.8.8"], "searches": ["corp"], "options": ["timeout:1"]}
    assert dns(hostNetwork=True)["servers"] == ["8.8.8.8"]
    assert dns(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")["servers"] == ["10.96.0.10"]
    own = {"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}]}
    assert dns(dnsPolicy="None", dnsConfig=own) == {"servers": ["1.1.1.1"], "searches": ["x"], "options": ["ndots:2"]}
    assert dns(dnsConfig=own)["options"] == ["ndots:2"]
    assert parse_resolv_conf("# c\nnameserver 1.2.3.4\nsearch a b\noptions ndots:1\n") == Resolver(
        ("1.2.3.4",), ("a", "b"), ("ndots:1",)
    )


def test_hosts_file(make_pod: Any) -> None:
    """The header that tools know it by, the pod's own name, its aliases."""
    pod = make_pod({"hostname": "h", "subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["x", "y"]}]})
    text = hosts_file(pod, ["10.0.0.9"], "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.9\th.s.default.svc.cluster.local\th\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n")


def test_container(make_pod: Any) -> None:
    """Commands expanded, security and resources translated, labels as upstream's."""
    container = {
        "name": "a",
        "image": "busybox",
        "command": ["echo", "$(X)"],
        "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "0.5", "memory": "64Mi"}},
        "securityContext": {"runAsUser": 7, "capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True, "mountPropagation": "HostToContainer"}],
    }
    pod = make_pod({"containers": [container], "securityContext": {"runAsUser": 1, "fsGroup": 9, "runAsGroup": 3}})
    prepared = Prepared("sha256:1", {"X": "1"}, {"/v": Path("/host/v")}, Path("/h"), Path("/t"))
    config = container_config(pod, container, 2, prepared, NODE)
    assert config["command"] == ["echo", "1"]
    assert config["log_path"] == "a/2.log"
    assert config["labels"]["io.kubernetes.pod.uid"] == "uid-web"
    assert config["annotations"]["io.kubernetes.container.restartCount"] == "2"
    assert [(m["container_path"], m["host_path"]) for m in config["mounts"]] == [
        ("/v", "/host/v"),
        ("/etc/hosts", "/h"),
        ("/dev/termination-log", "/t"),
    ]
    assert config["mounts"][0]["propagation"] == "PROPAGATION_HOST_TO_CONTAINER"
    security = config["linux"]["security_context"]
    assert (security["run_as_user"], security["run_as_group"]) == ({"value": 7}, {"value": 3})
    assert security["no_new_privs"] is True
    assert security["supplemental_groups"] == [9]
    assert security["capabilities"] == {"add_capabilities": [], "drop_capabilities": ["ALL"]}
    resources = config["linux"]["resources"]
    assert (resources["cpu_shares"], resources["cpu_quota"], resources["cpu_period"]) == (256, 50_000, 100_000)
    assert resources["memory_limit_in_bytes"] == 64 * 1024**2


def test_an_image_volume_is_the_runtimes_to_mount(make_pod: Any) -> None:
    """It is given the image as pulled, and the directory in it; nothing of it is on the node."""
    mounts = [{"name": "v", "mountPath": "v", "subPath": "etc"}]
    pod = make_pod({"containers": [{"name": "a", "image": "busybox", "volumeMounts": mounts}]})
    prepared = Prepared("sha256:1", {}, {}, image_volumes={"v": "sha256:2"})
    (mount,) = container_config(pod, pod["spec"]["containers"][0], 0, prepared, NODE)["mounts"]
    assert mount == {
        "container_path": "/v",
        "image": {"image": "sha256:2"},
        "image_sub_path": "etc",
        "readonly": True,
    }


def test_resource_formulas(make_pod: Any) -> None:
    """The kernel's numbers, at their bounds too; what a pod asks for with init containers and sidecars."""
    assert [cpu_shares(m) for m in (0, 1, 100, 1000, 10**9)] == [2, 2, 102, 1024, 262144]
    assert [cpu_quota(m) for m in (0, 1, 500)] == [0, 1000, 50_000]
    burstable = {"name": "a", "resources": {"requests": {"memory": "4Gi"}}}
    pod = make_pod({"containers": [burstable]})
    assert container_resources(pod, burstable, 8 * 1024**3)["oom_score_adj"] == 500
    assert container_resources(make_pod(), {"name": "a"}, 8 * 1024**3)["oom_score_adj"] == 1000
    assert pod_cgroup(pod, NODE) == "/kubepods/burstable/poduid-web"

    def box(name: str, cpu: str, **extra: Any) -> dict[str, Any]:
        return {"name": name, "resources": {"requests": {"cpu": cpu}}, **extra}

    initializing = make_pod(
        {
            "initContainers": [box("i", "3"), box("s", "1", restartPolicy="Always"), box("j", "2500m")],
            "containers": [box("a", "2")],
        }
    )
    assert pod_requests(initializing) == {"cpu": 3500}


@pytest.mark.parametrize(
    ("image", "tagged"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1", "busybox:1"),
        ("host:5000/x/y", "host:5000/x/y:latest"),
        ("x@sha256:" + "0" * 64, "x@sha256:" + "0" * 64),
        ("Upper", None),
        ("a b", None),
        ("", None),
        ("x:", None),
    ],
)
def test_image_names(image: str, tagged: str | None) -> None:
    """The default tag, and what is no image name at all."""
    assert with_default_tag(image) == tagged


def test_pull_policy_default() -> None:
    """Always for latest, else IfNotPresent."""
    policies = [pull_policy({"image": "x"}), pull_policy({"image": "x:1"}), pull_policy({"imagePullPolicy": "Never"})]
    assert policies == ["Always", "IfNotPresent", "Never"]


def test_credentials() -> None:
    """The registry's entry, the longest path first; Docker Hub under its several names."""
    import base64
    import json

    auths = {
        "https://index.docker.io/v1/": {"username": "hub", "password": "p"},
        "r.example": {"auth": base64.b64encode(b"u:w").decode()},
        "r.example/team": {"username": "team", "password": "t"},
    }
    data = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    secret = {"kind": "Secret", "data": {".dockerconfigjson": data}}
    assert [auth["username"] for auth in credentials("r.example/team/x:1", [secret])] == ["team", "u"]
    assert [auth["username"] for auth in credentials("busybox:1", [secret])] == ["hub"]
    assert credentials("other.example/x", [secret]) == []


def test_run_as_non_root(make_pod: Any) -> None:
    """Root is refused, whoever asked for it; a user given by number is fine."""
    container = {"name": "a"}
    pod = make_pod({"securityContext": {"runAsNonRoot": True}})
    check_non_root(pod, container, {"uid": {"value": 1000}})
    for image in ({}, {"uid": {"value": 0}}, {"username": "nobody"}):
        with pytest.raises(ConfigError, match="container has runAsNonRoot"):
            check_non_root(pod, container, image)
    check_non_root(make_pod({"securityContext": {"runAsNonRoot": True, "runAsUser": 5}}), container, {})


def test_delays() -> None:
    """The first restart is free, then 10 s, 20 s, ... 300 s; ten quiet minutes start anew."""
    now = parse_rfc3339("2030-01-01T00:00:00Z")
    table: DelayTable[str] = DelayTable(RESTART_BACKOFF)
    assert table.until("a", now, now) is None
    seconds = []
    for _ in range(7):
        table.count("a", now)
        until = table.until("a", now, now)
        assert until is not None
        seconds.append((until - now).total_seconds())
    assert seconds == [10, 20, 40, 80, 160, 300, 300]
    assert table.until("a", now, now.replace(minute=11)) is None


def test_status_patch() -> None:
    """Only what changes; other writers' conditions stay; an address that is gone is deleted by name."""
    old = {
        "phase": "Pending",
        "conditions": [{"type": "A", "status": "True", "reason": "r"}, {"type": "Foreign", "status": "True"}],
        "podIPs": [{"ip": "1"}],
        "nominatedNodeName": "x",
    }
    new = {"phase": "Running", "conditions": [{"type": "A", "status": "False"}], "podIPs": [{"ip": "2"}]}
    assert status_patch(old, new) == {
        "phase": "Running",
        "conditions": [{"type": "A", "status": "False", "reason": None}],
        "podIPs": [{"ip": "2"}, {"$patch": "delete", "ip": "1"}],
    }
    assert status_patch(new, new) == {}
