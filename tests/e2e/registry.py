"""A registry on this machine's loopback with one image, from an OCI archive: the distribution API's two GETs."""

import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def registry_with(archive: Path) -> Iterator[str]:
    """Serves the archive's image under any name and tag; yields `127.0.0.1:PORT`."""
    with tarfile.open(archive) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        blobs = {f"sha256:{name.rpartition('/')[2]}": f.read() for name, f in files.items() if f and "blobs/" in name}
    manifest = next(data for data in blobs.values() if data.startswith(b'{"schemaVersion"'))
    media_type = json.loads(manifest)["mediaType"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reference = self.path.rpartition("/")[2]
            if "/manifests/" in self.path:
                self._answer(blobs.get(reference, manifest), media_type)
            elif "/blobs/" in self.path and reference in blobs:
                self._answer(blobs[reference], "application/octet-stream")
            else:
                self._answer(b"{}", "application/json")

        def _answer(self, data: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(data).hexdigest()}")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
