"""Pulling from a registry: the distribution API v2, blocking, for a thread that stands in the host's network.

The registry is asked without credentials; its 401 says where a token comes from (bearer) or that a password is wanted
(basic). A mirror configured for the domain is asked first. Plain http is spoken only to this machine's own addresses
and to mirrors given as `http://`.
"""

import base64
import http.client
import ipaddress
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import IO, Any
from urllib.parse import urlencode, urljoin, urlsplit

import orjson

from kaa.cri.content import CHUNK_BYTES, SMALL_BLOB_LIMIT_BYTES, ContentError, ContentStore
from kaa.cri.manifests import MANIFEST_TYPES, Descriptor
from kaa.cri.references import Reference

REQUEST_TIMEOUT_SECONDS = 30.0
"""For connecting, and for each read: a registry that sends nothing for so long is given up."""

TRIES = 3
REDIRECT_LIMIT = 5
TOKEN_LIMIT_BYTES = 1 << 20
DOCKER_HUB = "registry-1.docker.io"

_CHALLENGE_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class RegistryError(Exception):
    """A pull that failed. `code` is the CRI fault's: NotFound, PermissionDenied, Unavailable or Unknown."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by hand: credentials must not go to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def endpoints(domain: str, mirrors: Mapping[str, str]) -> list[str]:
    """Base URLs for a reference's domain, in the order they are tried."""
    host = DOCKER_HUB if domain == "docker.io" else domain
    scheme = "http" if _is_loopback(host) else "https"
    mirror = mirrors.get(domain)
    return [*([mirror.rstrip("/")] if mirror else []), f"{scheme}://{host}"]


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def parse_challenge(header: str) -> tuple[str, dict[str, str]]:
    """The scheme (lower case) and parameters of a WWW-Authenticate header."""
    scheme, _, rest = header.partition(" ")
    return scheme.lower(), dict(_CHALLENGE_PARAMETER.findall(rest))


def basic_credentials(auth: Mapping[str, Any]) -> str:
    """The user and password of CRI's AuthConfig as a Basic header's value; empty without any."""
    if auth.get("auth"):
        return str(auth["auth"])
    if auth.get("username") or auth.get("password"):
        return base64.b64encode(f"{auth.get('username', '')}:{auth.get('password', '')}".encode()).decode()
    return ""


class Registry:
    """One pull of one image. Methods block; `cancel` makes those under way in other threads end soon."""

    def __init__(self, reference: Reference, auth: Mapping[str, Any], mirrors: Mapping[str, str]) -> None:
        self._reference = reference
        self._auth = auth
        self._endpoints = endpoints(reference.domain, mirrors)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._cancelled = threading.Event()
        self._authorization: dict[str, str] = {}  # by endpoint

    def cancel(self) -> None:
        self._cancelled.set()

    def fetch_manifest(self, digest: str, content: ContentStore) -> str:
        """Stores the manifest or index of that digest, or of the reference itself, and returns its digest."""
        wanted = digest or self._reference.version
        with self._get(f"manifests/{wanted}", {"Accept": ", ".join(MANIFEST_TYPES)}) as response:
            data = response.read(SMALL_BLOB_LIMIT_BYTES + 1)
        if len(data) > SMALL_BLOB_LIMIT_BYTES:
            raise RegistryError("Unknown", f"the manifest of {self._reference} is too large")
        expected = digest or self._reference.digest
        return content.add([data], digest=expected)

    def fetch_blob(self, blob: Descriptor, content: ContentStore) -> None:
        """Stores one blob, trying again when the connection breaks."""
        for last in range(TRIES - 1, -1, -1):
            try:
                with self._get(f"blobs/{blob.digest}", {}) as response:
                    content.add(self._chunks(response), digest=blob.digest, size_bytes=blob.size_bytes)
                return
            except (ContentError, http.client.HTTPException, ConnectionError, TimeoutError) as e:
                if not last or self._cancelled.is_set():
                    raise RegistryError("Unavailable", f"failed to copy {blob.digest}: {e}") from e

    def _chunks(self, response: IO[bytes]) -> Iterator[bytes]:
        while chunk := response.read(CHUNK_BYTES):
            if self._cancelled.is_set():
                raise RegistryError("Unknown", "context canceled")
            yield chunk

    def _get(self, path: str, headers: Mapping[str, str]) -> closing[Any]:
        """The answer of the first endpoint that has it. The last one's failure is reported."""
        failure = RegistryError("Unknown", "no endpoint")
        for endpoint in self._endpoints:
            try:
                return closing(self._get_from(endpoint, path, headers))
            except RegistryError as e:
                failure = e
        raise RegistryError(failure.code, f'failed to resolve reference "{self._reference}": {failure}')

    def _get_from(self, endpoint: str, path: str, headers: Mapping[str, str]) -> Any:
        url = f"{endpoint}/v2/{self._reference.path}/{path}"
        for _ in range(2):
            authorization = self._authorization.get(endpoint)
            sent = dict(headers) | ({"Authorization": authorization} if authorization else {})
            try:
                return self._open(url, sent)
            except urllib.error.HTTPError as e:
                e.close()
                if e.code == 401 and not authorization:
                    self._authorization[endpoint] = self._authorize(e.headers.get("WWW-Authenticate", ""))
                    continue
                raise self._failure(e) from e
        raise AssertionError("a second 401 has been raised as a failure")

    def _open(self, url: str, headers: Mapping[str, str]) -> Any:
        """GET, following redirects; credentials go only to the host they are for."""
        host = urlsplit(url).netloc
        for _ in range(REDIRECT_LIMIT):
            here = urlsplit(url).netloc
            sent = {k: v for k, v in headers.items() if k != "Authorization" or here == host}
            try:
                return self._opener.open(urllib.request.Request(url, headers=sent), timeout=REQUEST_TIMEOUT_SECONDS)
            except urllib.error.HTTPError as e:
                if e.code not in (301, 302, 303, 307, 308):
                    raise
                e.close()
                url = urljoin(url, e.headers.get("Location", ""))
            except (urllib.error.URLError, OSError, http.client.HTTPException) as e:
                why = e.reason if isinstance(e, urllib.error.URLError) else e
                raise RegistryError("Unavailable", f'failed to do request: Get "{url}": {why}') from e
        raise RegistryError("Unknown", f"too many redirects: {url}")

    def _authorize(self, challenge: str) -> str:
        """The Authorization header that answers a 401's challenge."""
        scheme, parameters = parse_challenge(challenge)
        if token := self._auth.get("registry_token"):
            return f"Bearer {token}"
        basic = basic_credentials(self._auth)
        if scheme == "basic" and basic:
            return f"Basic {basic}"
        if scheme != "bearer" or "realm" not in parameters:
            raise self._denied()
        query: dict[str, str] = {key: parameters[key] for key in ("service", "scope") if key in parameters}
        query.setdefault("scope", f"repository:{self._reference.path}:pull")
        url = f"{parameters['realm']}?{urlencode(query)}"
        try:
            with closing(self._open(url, {"Authorization": f"Basic {basic}"} if basic else {})) as response:
                answer = orjson.loads(response.read(TOKEN_LIMIT_BYTES))
        except urllib.error.HTTPError as e:
            e.close()
            raise self._denied() from e
        except orjson.JSONDecodeError as e:
            raise RegistryError("Unknown", f"failed to fetch a token from {parameters['realm']}: {e}") from e
        return f"Bearer {answer.get('token') or answer.get('access_token') or ''}"

    def _failure(self, error: urllib.error.HTTPError) -> RegistryError:
        if error.code == 404:
            return RegistryError("NotFound", f"{self._reference}: not found")
        if error.code in (401, 403):
            return self._denied()
        return RegistryError(
            "Unavailable", f"unexpected status from GET request to {error.url}: {error.code} {error.reason}"
        )

    def _denied(self) -> RegistryError:
        message = "pull access denied, repository does not exist or may require authorization"
        return RegistryError("PermissionDenied", f"{message}: authorization failed")
