"""schemathesis reads the OpenAPI v3 that is served, and sends what it allows and what it does not.

A sample: two requests of each sort for each operation of a few groups. More takes minutes.
"""

import base64
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.clients.running import Running, api_server

GROUPS = ("apis/batch/v1", "apis/apps/v1", "apis/networking.k8s.io/v1", "apis/autoscaling/v2", "apis/policy/v1")
RUN_SECONDS = 60
CONFIG = """\
[parameters]
namespace = "default"
name = "one"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with api_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize("group", GROUPS)
def test_what_openapi_describes(server: Running, group: str, tmp_path: Path) -> None:
    """No operation that OpenAPI describes ends in a 5xx."""
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program, "schemathesis is a development dependency"
    kubeconfig = yaml.safe_load(server.kubeconfig.read_text())
    url, user = kubeconfig["clusters"][0]["cluster"]["server"], kubeconfig["users"][0]["user"]
    certificate = tmp_path / "client.pem"
    certificate.write_bytes(
        base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
    )
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [program, "--config-file", str(config), "run", f"{url}/openapi/v3/{group}", "--url", url]
    command += ["--tls-verify", "false", "--request-cert", str(certificate), "--checks", "not_a_server_error"]
    command += ["--phases", "fuzzing", "--mode", "all", "--max-examples", "2", "--seed", "1", "--no-color"]
    command += ["--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
