"""Pulling from a small real registry on this machine: tokens, passwords, redirects, mirrors, and what goes wrong."""

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from tests.unit.cri.test_images import plain_layer

from kaa.cri import manifests
from kaa.cri.cri import RuntimeFault
from kaa.cri.images import Images
from kaa.cri.registry import endpoints, parse_challenge
from kaa.cri.snapshots import Snapshots
from kaa.lib.clock import WallClock

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root")


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def described(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


class Registry(ThreadingHTTPServer):
    """Serves one image `me/app:1` for this machine, from an index. `requests` are those that came, with headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.authorize: Callable[[dict[str, str]], str] = lambda headers: ""  # a challenge, or "" to let in
        self.redirect_blobs_to = ""
        self.token_users: list[str] = []
        layer = plain_layer("file", "content")
        architecture, variant = manifests.this_architecture()
        config = orjson.dumps(
            {"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"diff_ids": [digest(layer)]}}
        )
        manifest = orjson.dumps(
            {
                "schemaVersion": 2,
                "config": described(config, manifests.OCI_CONFIG),
                "layers": [described(layer, manifests.OCI_LAYER)],
            }
        )
        platform = {"os": "linux", "architecture": architecture, "variant": variant}
        entry = described(manifest, manifests.OCI_MANIFEST) | {"platform": platform}
        self.index = orjson.dumps({"schemaVersion": 2, "mediaType": manifests.OCI_INDEX, "manifests": [entry]})
        self.blobs = {digest(data): data for data in (layer, config, manifest, self.index)}
        self.layer_digest = digest(layer)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        url = urlsplit(self.path)
        self.server.requests.append((self.path, headers))
        if url.path == "/token":
            self.server.token_users.append(headers.get("authorization", ""))
            scope = parse_qs(url.query)["scope"][0]
            self._answer(200, orjson.dumps({"token": f"token-for-{scope}"}))
            return
        challenge = self.server.authorize(headers)
        if challenge:
            self.send_response(401)
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name = url.path.rpartition("/")[2]
        data = self.server.index if name == "1" else self.server.blobs.get(name)
        if data is None or not url.path.startswith("/v2/me/app/"):
            self._answer(404, b"{}")
        elif "/blobs/" in url.path and self.server.redirect_blobs_to:
            self.send_response(307)
            self.send_header("Location", f"{self.server.redirect_blobs_to}{url.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer(200, data)

    def _answer(self, code: int, data: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def images_at(path: Path, **mirrors: str) -> Images:
    snapshots = Snapshots(path / "snapshots", path / "links")
    return Images(
        path / "images", snapshots, WallClock(), registry_mirrors={k.replace("_", "."): v for k, v in mirrors.items()}
    )


async def pull(images: Images, name: str, **auth: str) -> str:
    return str((await images.pull_image({"image": {"image": name}, "auth": auth}))["image_ref"])


async def test_an_image_is_pulled(registry: Registry, tmp_path: Path) -> None:
    """Protects the plain case: through the index to this machine's layers; by tag and then by digest, once."""
    images = images_at(tmp_path)
    name = f"{registry.host}/me/app:1"
    identifier = await pull(images, name)
    found = images.find(name)
    assert found is not None
    assert found.id == identifier
    assert found.digests == (f"{registry.host}/me/app@{digest(registry.index)}",)
    assert images.find(found.digests[0]) == found
    layers = [path for path, _ in registry.requests if registry.layer_digest in path]
    assert len(layers) == 1
    assert await pull(images, found.digests[0]) == identifier
    assert [path for path, _ in registry.requests if registry.layer_digest in path] == layers


async def test_a_token_is_fetched_as_the_challenge_says(registry: Registry, tmp_path: Path) -> None:
    """Protects Docker Hub and its like: anonymous and with a password, the token for this repository alone."""
    scope = "repository:me/app:pull"
    challenge = f'Bearer realm="http://{registry.host}/token",service="registry",scope="{scope}"'
    wanted = f"Bearer token-for-{scope}"
    registry.authorize = lambda headers: "" if headers.get("authorization") == wanted else challenge
    await pull(images_at(tmp_path / "a"), f"{registry.host}/me/app:1")
    assert registry.token_users == [""]
    await pull(images_at(tmp_path / "b"), f"{registry.host}/me/app:1", username="me", password="secret")
    assert registry.token_users[-1] == "Basic " + base64.b64encode(b"me:secret").decode()


async def test_a_password_is_sent_only_when_asked_for(registry: Registry, tmp_path: Path) -> None:
    """Protects basic authentication, and the message for a wrong or missing password."""
    right = "Basic " + base64.b64encode(b"me:secret").decode()
    registry.authorize = lambda headers: "" if headers.get("authorization") == right else 'Basic realm="r"'
    await pull(images_at(tmp_path / "a"), f"{registry.host}/me/app:1", username="me", password="secret")
    assert "authorization" not in registry.requests[0][1]
    for auth in ({}, {"username": "me", "password": "wrong"}):
        with pytest.raises(RuntimeFault, match="pull access denied") as fault:
            await pull(images_at(tmp_path / "b"), f"{registry.host}/me/app:1", **auth)
        assert fault.value.code == "PermissionDenied"


async def test_credentials_do_not_follow_a_redirect(registry: Registry, tmp_path: Path) -> None:
    """Protects the password from the host that a registry keeps its blobs on."""
    right = "Basic " + base64.b64encode(b"me:secret").decode()
    with Registry() as storage:
        thread = threading.Thread(target=storage.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        storage.blobs = registry.blobs
        registry.authorize = lambda headers: "" if headers.get("authorization") == right else 'Basic realm="r"'
        registry.redirect_blobs_to = f"http://{storage.host}"
        await pull(images_at(tmp_path), f"{registry.host}/me/app:1", username="me", password="secret")
        storage.shutdown()
        thread.join()
    assert storage.requests
    assert all("authorization" not in headers for _, headers in storage.requests)


async def test_a_mirror_is_asked_first(registry: Registry, tmp_path: Path) -> None:
    """Protects a machine without a way out: the name stays, the bytes come from the mirror."""
    images = images_at(tmp_path, registry_example=f"http://{registry.host}")
    await pull(images, "registry.example/me/app:1")
    assert images.find("registry.example/me/app:1") is not None


async def test_what_is_not_there_is_not_found(registry: Registry, tmp_path: Path) -> None:
    """Protects the message of ErrImagePull, and that a failed pull leaves nothing."""
    images = images_at(tmp_path)
    with pytest.raises(RuntimeFault, match=r"failed to pull and unpack image .*me/nothing:1.*: not found") as fault:
        await pull(images, f"{registry.host}/me/nothing:1")
    assert fault.value.code == "NotFound"
    assert os.listdir(tmp_path / "images/content/blobs/sha256") == []


async def test_a_forged_or_oversized_blob_is_refused(registry: Registry, tmp_path: Path) -> None:
    """Protects the node from a registry that sends something else than it announced."""
    good = registry.blobs[registry.layer_digest]
    for bad in (b"!" * len(good), good + b"more", good[:-1]):
        registry.blobs[registry.layer_digest] = bad
        with pytest.raises(RuntimeFault, match=registry.layer_digest):
            await pull(images_at(tmp_path), f"{registry.host}/me/app:1")
    assert not (tmp_path / "images/images.json").exists()


def test_http_is_spoken_to_this_machine_only() -> None:
    """Protects against plain http over a network."""
    assert endpoints("localhost:5000", {}) == ["http://localhost:5000"]
    assert endpoints("127.0.0.1:5000", {}) == ["http://127.0.0.1:5000"]
    assert endpoints("docker.io", {}) == ["https://registry-1.docker.io"]
    assert endpoints("r.io", {"r.io": "http://10.0.0.1/"}) == ["http://10.0.0.1", "https://r.io"]


def test_challenges_are_read() -> None:
    """Protects the parsing of parameters that contain commas."""
    scheme, parameters = parse_challenge('Bearer realm="https://a/token",scope="repository:a:pull,push"')
    assert (scheme, parameters["scope"]) == ("bearer", "repository:a:pull,push")
