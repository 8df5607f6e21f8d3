"""kopf runs an operator against the server: handlers, status, finalizers and events."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.running import STOP_SECONDS, Running
from tests.clients.test_helm import kubectl

WAIT_SECONDS = 30
FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ephemeralvolumeclaims.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "EphemeralVolumeClaim", "plural": "ephemeralvolumeclaims", "shortNames": ["evc"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"size": {"type": "string"}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def claim(name: str, **spec: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "EphemeralVolumeClaim", "metadata": {"name": name}, "spec": spec}


def apply(server: Running, directory: Path, obj: dict[str, Any]) -> None:
    path = directory / "object.json"
    path.write_text(json.dumps(obj))
    kubectl(server, "apply", "-f", str(path))


def get(server: Running, name: str) -> dict[str, Any] | None:
    text = kubectl(server, "get", "evc", name, "-o", "json", "--ignore-not-found")
    return json.loads(text) if text else None


def until(holds: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    return found


@pytest.fixture
def operator(server: Running, tmp_path: Path) -> Iterator[Path]:
    """The operator's log, while it runs."""
    apply(server, tmp_path, DEFINITION)
    kubectl(server, "wait", "--for=condition=Established", "crd/ephemeralvolumeclaims.example.com", "--timeout=20s")
    log = tmp_path / "operator.log"
    script = Path(__file__).with_name("example_operator.py")
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace=default", str(script)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "KUBECONFIG": str(server.kubeconfig)}
        )
    try:
        yield log
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def test_an_operator(server: Running, operator: Path, tmp_path: Path) -> None:
    """Its handlers run once for each change, what they return is in the status, and a deletion waits for them."""
    apply(server, tmp_path, claim("good", size="1G"))

    def created() -> bool:
        status = (get(server, "good") or {}).get("status", {})
        return status.get("create") == {"claim-name": "good-1G"} and status.get("size") == "1G"

    until(created, operator)
    made = get(server, "good")
    assert made is not None
    assert made["metadata"]["finalizers"] == [FINALIZER]

    apply(server, tmp_path, claim("good", size="2G"))
    until(lambda: (get(server, "good") or {}).get("status", {}).get("size") == "2G", operator)

    kubectl(server, "delete", "evc", "good", "--timeout=20s")
    assert get(server, "good") is None
    assert operator.read_text().count("deleted good") == 1


def test_an_event(server: Running, operator: Path, tmp_path: Path) -> None:
    """What a handler has to say of an object is an event that `kubectl` finds by the object's name."""
    apply(server, tmp_path, claim("bad"))

    def failed() -> bool:
        found = json.loads(kubectl(server, "get", "events", "-o", "json", "--field-selector=involvedObject.name=bad"))
        return ("Warning", "NoSize") in {(event["type"], event["reason"]) for event in found["items"]}

    until(failed, operator)
    kubectl(server, "delete", "evc", "bad", "--timeout=20s")
