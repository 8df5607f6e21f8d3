"""The content store: blobs named by their digest. What is in it has been checked, and never changes.

`blobs/sha256/<hex>` under the root. A blob is written under another name and renamed once its digest is known to be
right, so a crash leaves no half blob; what it does leave is taken away when the store is opened.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from kaa.cri.references import is_digest

CHUNK_BYTES = 1 << 18

SMALL_BLOB_LIMIT_BYTES = 8 * 1024 * 1024
"""The largest manifest or configuration that is read into memory."""


class ContentError(Exception):
    """Content that is not what its name or size says, or that is missing."""


class ContentStore:
    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._incoming = root / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir()

    def path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise ContentError(f"unsupported digest {digest!r}: only sha256 is supported")
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def digests(self) -> list[str]:
        return [f"sha256:{name}" for name in os.listdir(self._blobs)]

    def read(self, digest: str) -> bytes:
        """A small blob's bytes."""
        try:
            with self.path(digest).open("rb") as file:
                data = file.read(SMALL_BLOB_LIMIT_BYTES + 1)
        except FileNotFoundError:
            raise ContentError(f"content {digest}: not found") from None
        if len(data) > SMALL_BLOB_LIMIT_BYTES:
            raise ContentError(f"content {digest} is larger than {SMALL_BLOB_LIMIT_BYTES} bytes")
        return data

    def add(self, chunks: Iterable[bytes], *, digest: str = "", size_bytes: int | None = None) -> str:
        """Stores the bytes and returns their digest. Raises ContentError if digest or size are not as expected."""
        if digest:
            self.path(digest)  # refuses what cannot be checked before reading any of it
        sha256 = hashlib.sha256()
        count = 0
        with tempfile.NamedTemporaryFile(dir=self._incoming, delete=False) as file:
            try:
                for chunk in chunks:
                    count += len(chunk)
                    if size_bytes is not None and count > size_bytes:
                        raise ContentError(f"content {digest} is larger than the {size_bytes} bytes announced")
                    sha256.update(chunk)
                    file.write(chunk)
                if size_bytes is not None and count != size_bytes:
                    raise ContentError(f"content {digest} has {count} bytes, {size_bytes} were announced")
                actual = f"sha256:{sha256.hexdigest()}"
                if digest and actual != digest:
                    raise ContentError(f"content digest is {actual}, expected {digest}")
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                os.unlink(file.name)
                raise
        os.chmod(file.name, 0o600)
        os.replace(file.name, self.path(actual))
        return actual

    def add_bytes(self, data: bytes) -> str:
        return self.add([data])

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)


def chunks_of(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
