"""A cluster for a test, driven through the commands that a person would type."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
IMAGE = "kaa-hello:1.0"


@dataclass(frozen=True)
class RunningCluster:
    name: str
    environment: dict[str, str]

    @property
    def directory(self) -> Path:
        return Path(self.environment["KAA_HOME"]) / self.name

    def kaa(self, *words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return self.run(str(BIN / "kaa"), *words, check=check, timeout=timeout)

    def kubectl(
        self, *words: str, check: bool = True, timeout: float = 120, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.run(str(BIN / "kubectl"), *words, check=check, timeout=timeout, stdin=stdin)

    def run(
        self, *words: str, check: bool = True, timeout: float = 120, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=timeout, input=stdin, check=False
        )
        assert not check or done.returncode == 0, (
            f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def get(self, *words: str) -> Any:
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(obj) for obj in objects))

    def status(self) -> Any:
        return json.loads(self.kaa("status", "--name", self.name, "-o", "json").stdout)

    def up(self, *options: str) -> None:
        self.kaa("up", "--name", self.name, "--isolated", "--wait", *options)

    def down(self) -> None:
        self.kaa("down", "--name", self.name)


def new_cluster(name: str, home: Path) -> RunningCluster:
    """A cluster that is not up yet, with a home and a kubeconfig of its own."""
    environment = {**os.environ, "KAA_HOME": str(home / "kaa"), "KUBECONFIG": str(home / "config"), "HOME": str(home)}
    return RunningCluster(name, environment)


def load_image(cluster: RunningCluster, directory: Path) -> None:
    """The sample's image, made of this machine's busybox."""
    archive = directory / "hello.tar"
    cluster.run(sys.executable, str(ROOT / "examples/hello/build_image.py"), str(archive))
    cluster.kaa("image", "load", "--name", cluster.name, str(archive))


def eventually(check: Callable[[], Any], what: str, timeout_seconds: float = 60, every_seconds: float = 0.2) -> Any:
    """The first true result of `check`; an AssertionError from it counts as "not yet"."""
    deadline = time.monotonic() + timeout_seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if result := check():
                return result
        except (AssertionError, KeyError, IndexError) as error:
            last = error
        time.sleep(every_seconds)
    raise AssertionError(f"{what}: not within {timeout_seconds} s ({last})")
