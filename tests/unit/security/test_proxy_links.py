"""Links of proxied pages."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.server.proxy_links import MAX_TAG_CHARACTERS, RewrittenPage, prefixed, rewrite

PREFIX = "/api/v1/namespaces/a/pods/http:x:80/proxy"
HOSTS = ("10.0.0.1:80", "10.0.0.1")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("/page?x=1#top", PREFIX + "/page?x=1#top"),
        ("/", PREFIX + "/"),
        ("http://10.0.0.1:80/page", PREFIX + "/page"),
        (PREFIX + "/page", PREFIX + "/page"),
        ("page", "page"),
        ("#top", "#top"),
        ("https://example.com/page", "https://example.com/page"),
        ("//example.com/page", "//example.com/page"),
        ("mailto:a@example.com", "mailto:a@example.com"),
        ("http://[broken/", "http://[broken/"),
    ],
)
def test_only_absolute_links_to_the_backend_are_led_through_the_proxy(url: str, seen: str) -> None:
    """Relative ones are right as they are, and other hosts are other hosts."""
    assert prefixed(url, PREFIX, HOSTS) == seen


def test_attributes_that_hold_links_are_rewritten() -> None:
    """Whatever the quotes; text, other attributes and closing tags stay as they were written."""
    page = """<p title="/x">/x <A id=x HREF='/a'>a</A> <img src=/b alt="/b"><a href="/c" >c</a> 1 < 2 <br></p>"""
    assert rewrite(page, "/p", HOSTS) == (
        """<p title="/x">/x <A id=x HREF='/p/a'>a</A> <img src=/p/b alt="/b"><a href="/p/c" >c</a> 1 < 2 <br></p>"""
    )


class Pieces:
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces, self.closed = pieces, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)

    async def aclose(self) -> None:
        self.closed = True


PAGE = "a <b>b</b> <a href='/c'>ü</a> 1 < 2 <img src=\"/d\"> <a href='/never closed".encode()


@given(st.lists(st.integers(0, len(PAGE)), max_size=8).map(sorted))
async def test_how_a_page_is_cut_does_not_matter(cuts: list[int]) -> None:
    """A tag that arrives in two pieces is one tag; bytes of any encoding come through."""
    edges = [0, *cuts, len(PAGE)]
    pieces = Pieces([PAGE[a:b] for a, b in pairwise(edges)])
    page = RewrittenPage(pieces, "/p", HOSTS)
    whole = rewrite(PAGE.decode("latin-1"), "/p", HOSTS).encode("latin-1")
    assert b"".join([chunk async for chunk in page]) == whole
    await page.aclose()
    assert pieces.closed


async def test_a_tag_without_end_does_not_pile_up() -> None:
    """A page may be endless: only so much of it is held back."""
    endless = Pieces([b"<" + b"x" * (MAX_TAG_CHARACTERS // 2)] + [b"x" * MAX_TAG_CHARACTERS] * 3)
    page = RewrittenPage(endless, "/p", HOSTS)
    assert len(await anext(page)) > MAX_TAG_CHARACTERS
    assert len(endless.pieces) == 2
