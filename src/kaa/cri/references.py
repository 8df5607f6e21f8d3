"""Image references, normalised as docker does: `busybox` means `docker.io/library/busybox:latest`.

    [domain/]path[:tag][@digest]

The first part is a domain only if it looks like one: it has a dot, a colon, a capital letter, or is `localhost`.
"""

import re
from dataclasses import dataclass

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255

_DOMAIN = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,}")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_BARE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A digest, when there is one, decides alone: the tag is dropped then."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.domain}/{self.path}"

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest or the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse_reference(text: str) -> Reference:
    """Raises ValueError with docker's words."""
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f'could not parse reference "{text}": invalid reference format')
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # no colon, or one before a port
        head, tag, colon = name, "", ""
    domain, slash, path = head.partition("/")
    looks_like_domain = "." in domain or ":" in domain or domain == "localhost" or domain != domain.lower()
    if not slash or not looks_like_domain:
        domain, path = DEFAULT_DOMAIN, head
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    if path != path.lower():
        raise ValueError(
            f'could not parse reference "{text}": invalid reference format: repository name must be lowercase'
        )
    well_formed = _DOMAIN.fullmatch(domain) and _PATH.fullmatch(path) and (not colon or _TAG.fullmatch(tag))
    if not well_formed or len(domain) + 1 + len(path) > NAME_LIMIT:
        raise ValueError(f'could not parse reference "{text}": invalid reference format')
    return Reference(domain, path, "" if digest else tag or DEFAULT_TAG, digest)


def is_image_id(text: str) -> bool:
    """Whether it names an image by the digest of its configuration, with or without `sha256:`."""
    return bool(_BARE_ID.fullmatch(text))


def is_digest(text: str) -> bool:
    """Whether it is a digest that we can check. Others would be names of files, so nothing else is accepted."""
    return bool(_SHA256.fullmatch(text))
