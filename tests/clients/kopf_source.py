"""kopf as its authors ship it: the source distribution, which has the examples and the tests that the wheel lacks.

pip fetches it, and what its tests need besides kopf's own requirements, once into the user's cache. Nothing of it is in
this repository.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.45.2"
SHA256 = "5baa180cfdebe1c5095d2a0a96d7d91825b6920541a0825c55719c36abb0054f"
NEEDED = ("pykube-ng==23.6.0", "freezegun==1.5.5")
"""The examples' client (`examples/requirements.txt`), and what kopf's `conftest.py` imports."""

FETCH_SECONDS = 120.0


@dataclass(frozen=True)
class KopfSource:
    """`directory` holds `examples/` and `tests/`; `packages` is what is NEEDED, for PYTHONPATH."""

    directory: Path
    packages: Path

    @property
    def examples(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "examples").iterdir() if path.is_dir())

    def has_tests(self, example: str) -> bool:
        return any((self.directory / "examples" / example).glob("test_*.py"))


def kopf_source() -> KopfSource:
    """Raises AssertionError where pip can fetch nothing, or fetches something else."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kaa-tests"
    found = cache / "-".join(("kopf", VERSION, *NEEDED))
    if not found.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch) / "made"
            _fetch(made)
            try:
                made.rename(found)  # whole or not at all
            except OSError:
                assert found.exists()  # by another process in the meantime
    return KopfSource(found / f"kopf-{VERSION}", found / "packages")


def _fetch(directory: Path) -> None:
    _pip("install", "--no-deps", "--target", str(directory / "packages"), *NEEDED)
    _pip("download", "--no-deps", "--no-binary", "kopf", "--dest", str(directory), f"kopf=={VERSION}")
    archive = directory / f"kopf-{VERSION}.tar.gz"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert digest == SHA256, f"{archive.name} has the SHA-256 {digest}, not {SHA256}"
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(directory, filter="data")


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    assert done.returncode == 0, f"kopf's own examples could not be fetched: pip {arguments[0]}: {done.stderr[-2000:]}"
