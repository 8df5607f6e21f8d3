"""Links in what is proxied: what a pod serves at `/` is seen at `.../pods/x/proxy/`, and its absolute links as well.

Rewritten are the Location of a redirect and, in HTML, the attributes that hold a URL. Relative links are right as they
are; links to other hosts lead there. Source: upstream's proxy Transport.
"""

import re
from collections.abc import AsyncIterator, Collection
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

LINK_ATTRIBUTES = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
"""HTML's elements with attributes that are URLs."""

TAG = re.compile(r"<([a-zA-Z]+)(\s[^<>]*)>")
ATTRIBUTE = re.compile(r"""(\s([a-zA-Z]+)\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""")

MAX_TAG_CHARACTERS = 16384
"""How much of a page waits for a tag's end; a longer tag is passed on as it is."""


class Chunks(Protocol):
    """A body that is passed on; closed by whoever stops reading it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def __anext__(self) -> bytes: ...
    async def aclose(self) -> None: ...


def prefixed(url: str, prefix: str, own_hosts: Collection[str]) -> str:
    """The link as seen through the proxy. `own_hosts`: names of the backend, which nobody outside can reach."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if (parts.netloc and parts.netloc not in own_hosts) or not parts.path.startswith("/"):
        return url
    path = parts.path if parts.path.startswith(prefix) else prefix + parts.path
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def rewrite(page: str, prefix: str, own_hosts: Collection[str]) -> str:
    def attribute(match: re.Match[str], names: Collection[str]) -> str:
        before, name, value = match.groups()
        if name.lower() not in names:
            return match[0]
        mark = value[0] if value[0] in "\"'" else ""
        return f"{before}{mark}{prefixed(value.strip(mark) if mark else value, prefix, own_hosts)}{mark}"

    def tag(match: re.Match[str]) -> str:
        names = LINK_ATTRIBUTES.get(match[1].lower())
        if names is None:
            return match[0]
        return f"<{match[1]}{ATTRIBUTE.sub(lambda found: attribute(found, names), match[2])}>"

    return TAG.sub(tag, page)


class RewrittenPage:
    """An HTML body whose links lead through the proxy. Passed on as it comes, but for a tag that is not complete."""

    def __init__(self, chunks: Chunks, prefix: str, own_hosts: Collection[str]) -> None:
        self._chunks = chunks
        self._prefix = prefix
        self._own_hosts = own_hosts
        self._held = ""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            try:
                # Latin-1 maps every byte to a character and back; tags and URLs are ASCII in every encoding in use.
                self._held += (await anext(self._chunks)).decode("latin-1")
            except StopAsyncIteration:
                if not self._held:
                    raise
                return self._take(len(self._held))
            if end := self._complete():
                return self._take(end)

    def _complete(self) -> int:
        """How much of what is held ends with no open tag."""
        opened = self._held.rfind("<")
        is_open = opened >= 0 and ">" not in self._held[opened:] and len(self._held) - opened < MAX_TAG_CHARACTERS
        return opened if is_open else len(self._held)

    def _take(self, end: int) -> bytes:
        ready, self._held = self._held[:end], self._held[end:]
        return rewrite(ready, self._prefix, self._own_hosts).encode("latin-1")

    async def aclose(self) -> None:
        await self._chunks.aclose()
