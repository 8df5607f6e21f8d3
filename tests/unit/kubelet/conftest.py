"""Pods and runtime states in short hand, for the kubelet's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kaa.kubelet.pod_runtime import PodRuntime, RuntimeContainer, RuntimeSandbox

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def _pod(
    spec: dict[str, Any] | None = None, *, name: str = "web", status: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A bound pod of the namespace `default`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1},
        "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "busybox"}], **(spec or {})},
        "status": status or {},
    }


def _runtime(sandboxes: list[dict[str, Any]], containers: list[dict[str, Any]], uid: str = "uid-web") -> PodRuntime:
    """From short hands as in tests/scenarios/kubelet/pod_actions.yaml."""
    return PodRuntime(
        uid=uid,
        name="web",
        namespace="default",
        sandboxes=tuple(
            RuntimeSandbox(
                id=s["id"],
                attempt=s.get("attempt", 0),
                is_ready=s.get("ready", True),
                ips=tuple(s.get("ips", ["10.244.0.2"])),
                network_mode=s.get("network", "POD"),
            )
            for s in sandboxes
        ),
        containers=tuple(_container(sandboxes, c) for c in containers),
    )


def _container(sandboxes: list[dict[str, Any]], short: dict[str, Any]) -> RuntimeContainer:
    attempt, state = short.get("attempt", 0), short["state"]
    return RuntimeContainer(
        id=f"{short['name']}-{attempt}",
        name=short["name"],
        sandbox_id=short.get("sandbox", sandboxes[0]["id"] if sandboxes else ""),
        attempt=attempt,
        state=f"CONTAINER_{state.upper()}",  # type: ignore[arg-type]
        image="busybox",
        image_ref="sha256:1",
        hash=short.get("hash", ""),
        created_at=NOW,
        started_at=NOW if state != "created" else None,
        finished_at=NOW + timedelta(seconds=5) if state == "exited" else None,
        exit_code=short.get("code", 0),
        reason=short.get("reason", ""),
        message=short.get("message", ""),
    )


@pytest.fixture
def make_pod() -> Any:
    return _pod


@pytest.fixture
def make_runtime() -> Any:
    return _runtime


@pytest.fixture(scope="session")
def make_pod_of() -> Any:
    """A pod of two init containers with a sidecar between them, and two app containers, by restart policy."""

    def make(policy: str) -> dict[str, Any]:
        init = [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "j"}]
        return _pod({"restartPolicy": policy, "initContainers": init, "containers": [{"name": "a"}, {"name": "b"}]})

    return make
