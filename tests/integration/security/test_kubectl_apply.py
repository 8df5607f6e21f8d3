"""The real kubectl applying: on the server, from the client's side to the server's, with diffs and conflicts."""

import json
from pathlib import Path
from typing import Any

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "example.com/web:%d"}
"""

LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}, data: {k: v}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: default}, data: {k: v}}
"""


def written(directory: Path, text: str) -> str:
    path = directory / "manifest.yaml"
    path.write_text(text)
    return str(path)


async def managers(secured: Any) -> dict[str, Any]:
    """The Deployment's entries by manager."""
    _, output = await secured.kubectl("get", "deployment", "web", "-o", "json", "--show-managed-fields")
    return {entry["manager"]: entry for entry in json.loads(output)["metadata"]["managedFields"]}


async def test_apply_on_the_server(secured: Any) -> None:
    """Create, again, diff without a change written, conflict with who scaled, force."""
    first = written(secured.directory, WEB % (2, 1))
    assert await secured.kubectl("apply", "--server-side", "-f", first) == (
        0,
        "deployment.apps/web serverside-applied\n",
    )
    assert (await managers(secured))["kubectl"]["operation"] == "Apply"
    second = written(secured.directory, WEB % (2, 2))
    code, difference = await secured.kubectl("diff", "--server-side", "-f", second)
    assert (code, "+      - image: example.com/web:2" in difference) == (1, True)
    assert (await secured.kubectl("apply", "--server-side", "-f", second))[0] == 0
    assert (await secured.kubectl("diff", "--server-side", "-f", second)) == (0, "")
    assert (await secured.kubectl("scale", "deployment", "web", "--replicas=5"))[0] == 0
    code, refused = await secured.kubectl("apply", "--server-side", "-f", second)
    assert code == 1
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in refused
    assert (await secured.kubectl("apply", "--server-side", "--force-conflicts", "-f", second))[0] == 0
    code, replicas = await secured.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "2"


async def test_from_the_clients_side_to_the_servers(secured: Any) -> None:
    """kubectl turns what it applied by itself into an applier's entry, and drops nothing on the way."""
    first = written(secured.directory, WEB % (2, 1))
    assert (await secured.kubectl("apply", "-f", first))[0] == 0
    assert (await managers(secured))["kubectl-client-side-apply"]["operation"] == "Update"
    second = written(secured.directory, WEB % (3, 2))
    code, output = await secured.kubectl("apply", "--server-side", "-f", second)
    assert (code, output) == (0, "deployment.apps/web serverside-applied\n")
    entries = await managers(secured)
    assert entries["kubectl"]["operation"] == "Apply"
    assert "kubectl-client-side-apply" not in entries
    # And back: the annotation has followed.
    assert (await secured.kubectl("apply", "-f", written(secured.directory, WEB % (4, 2))))[0] == 0


async def test_a_list_is_applied_by_the_client(secured: Any) -> None:
    """For a List kubectl reads /openapi/v2, as protobuf."""
    manifest = written(secured.directory, LIST)
    assert (await secured.kubectl("apply", "-f", manifest)) == (0, "configmap/a created\nconfigmap/b created\n")
    assert (await secured.kubectl("apply", "-f", manifest)) == (0, "configmap/a unchanged\nconfigmap/b unchanged\n")


async def test_fields_are_explained(secured: Any) -> None:
    """Upstream's sentences, where lightkube-models is installed."""
    code, output = await secured.kubectl("explain", "pod.spec.containers.image")
    assert (code, "Container image name" in output) == (0, True)
