"""lightkube's own examples: every block of Python in its README, which comes with the package, as it stands there.

Each is run on a new cluster that has what the README speaks of: a pod, a Deployment, a file. lightkube's source
distribution has no tests that want a cluster.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

from kaa import Cluster

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")

IMPORTS = "from lightkube import Client\nfrom lightkube.types import PatchType\n"
"""What some blocks leave to their reader."""

EXAMPLE_SECONDS = 60.0

Done = subprocess.CompletedProcess[str]

MY_POD = """
apiVersion: v1
kind: Pod
metadata: {name: my-pod}
spec: {restartPolicy: Never, containers: [{name: main, image: greeting}]}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: metrics-server, namespace: kube-system}
spec:
  replicas: 2
  selector: {matchLabels: {app: metrics-server}}
  template:
    metadata: {labels: {app: metrics-server}}
    spec: {containers: [{name: server, image: metrics-server}]}
"""


def printed(cluster: Cluster, output: str) -> str:
    return output


def config_map(cluster: Cluster, output: str) -> dict[str, Any] | None:
    found = [obj for obj in cluster.list("configmaps") if obj["metadata"]["name"] == "my-config"]
    return found[0]["data"] if found else None


def labels(cluster: Cluster, output: str) -> dict[str, str]:
    return cluster.get("configmap", "my-config")["metadata"].get("labels", {})


def replicas(cluster: Cluster, output: str) -> int:
    return cluster.get("deployment", "metrics-server", namespace="kube-system")["spec"]["replicas"]


def from_file(cluster: Cluster, output: str) -> int:
    return cluster.get("deployment", "from-file")["spec"]["replicas"]


@dataclass(frozen=True)
class Example:
    """`observe` gives `expected` afterwards. `follows`: it goes on with the names of that one, which is run before."""

    observe: Callable[[Cluster, str], Any]
    expected: Any
    follows: str = ""


CREATE, LABEL, MORE = "Create a config map", "Add a label", "Patch an existing config adding more data"

EXAMPLES = {
    "List nodes": Example(printed, "node-1\n"),
    CREATE: Example(config_map, {"key1": "value1", "key2": "value2"}),
    "Create resources defined in a file": Example(from_file, 2),
    "Replace the previous config with a different content": Example(
        config_map, {"key1": "new value", "key2": "value2"}, follows=CREATE
    ),
    MORE: Example(config_map, {"key1": "value1", "key2": "value2", "key3": "value3"}, follows=CREATE),
    # It takes the key from the metadata, which never had it: the patch is good, and changes nothing.
    "Remove the just added data key `key3`": Example(
        config_map, {"key1": "value1", "key2": "value2", "key3": "value3"}, follows=MORE
    ),
    LABEL: Example(labels, {"env": "prod"}, follows=CREATE),
    "Remove a label": Example(labels, {}, follows=LABEL),
    "Scale a deployment": Example(replicas, 1),
    "Create and modify resources using server side apply": Example(
        printed, "{'key1': 'value1', 'key2': 'value2'}\n{'key2': 'value2', 'key3': 'value3'}\n"
    ),
    "Delete a namespaced resource": Example(config_map, None, follows=CREATE),
    "Stream pod logs": Example(printed, "hello\n\n"),
}
MISTAKEN = {
    "Read a pod": "AttributeError: 'Pod' object has no attribute 'namespace'",
    "Watch deployments": "AttributeError: 'Deployment' object has no attribute 'namespace'",
    "Update Status of a deployment": "TypeError: Missing required argument 'spec'",
}
"""They fail in lightkube's own models, the first two with the server's answer in hand."""
NOT_RUN = {
    "Execute a command inside a pod": "Its `cat` must read what it is sent: simulated containers run no programs."
}


def readme() -> dict[str, str]:
    """Its blocks of Python, by the first line of what is said before each."""
    text, blocks, end = str(metadata("lightkube").get_payload()), {}, 0
    for match in BLOCK.finditer(text):
        said = [line for line in text[end : match.start()].splitlines() if line]
        headings = [number for number, line in enumerate(said) if line.startswith("#")]
        end = match.end()
        if match["language"] == "python":
            blocks[LINK.sub(r"\1", said[max(headings, default=-1) + 1])] = match["code"]
    return blocks


def code_of(caption: str) -> str:
    """The block as it stands, after those that it goes on from."""
    before = EXAMPLES[caption].follows if caption in EXAMPLES else ""
    return (code_of(before) if before else IMPORTS) + readme()[caption]


@pytest.fixture
def run(kaa_cluster: Cluster, tmp_path: Path) -> Callable[[str], Done]:
    """Runs a block as a program of its own: few of them close their clients."""

    @kaa_cluster.image("greeting")
    async def greeting(container: Any) -> None:
        container.log("hello")
        await container.clock.sleep(1)

    kaa_cluster.apply(MY_POD)
    kaa_cluster.apply(DEPLOYMENT)
    kaa_cluster.apply(DEPLOYMENT.replace("kube-system", "default"))
    kaa_cluster.wait("pod", "my-pod", "Ready")
    file = DEPLOYMENT.replace("name: metrics-server, namespace: kube-system", "name: from-file, namespace: default")
    (tmp_path / "deployment.yaml").write_text(file)

    def program(caption: str) -> Done:
        return subprocess.run(
            [sys.executable, "-c", code_of(caption)],
            cwd=tmp_path,
            env={**os.environ, "KUBECONFIG": kaa_cluster.kubeconfig},
            capture_output=True,
            text=True,
            timeout=EXAMPLE_SECONDS,
        )

    return program


def test_every_example_is_known() -> None:
    """A new example in a new lightkube is run, or it is said why not."""
    assert sorted(readme()) == sorted((*EXAMPLES, *MISTAKEN, *NOT_RUN))


@pytest.mark.parametrize("caption", EXAMPLES)
def test_lightkubes_own_example(kaa_cluster: Cluster, run: Callable[[str], Done], caption: str) -> None:
    """It does what the README says."""
    done, example = run(caption), EXAMPLES[caption]
    assert done.returncode == 0, done.stderr
    assert example.observe(kaa_cluster, done.stdout) == example.expected


@pytest.mark.parametrize("caption", MISTAKEN)
def test_an_example_that_cannot_work(run: Callable[[str], Done], caption: str) -> None:
    """A README that has been corrected is noticed, and the example is run from then on."""
    done = run(caption)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(MISTAKEN[caption]), done.stderr
