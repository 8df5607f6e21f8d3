"""Links, addresses and routes, by one `ip -batch` call for a whole change.

One batch in another namespace costs 4 ms; a netlink library would cost the node agent 25 MB of memory
(docs/decisions/0002). Commands are lists of words, never shell text.
"""

import asyncio
import subprocess
from collections.abc import Sequence

from kaa.cri.cri import PodNetworkError


class LinkError(PodNetworkError):
    """`ip` refused a command; the message is its own."""


def _argv(netns_path: str | None, force: bool) -> list[str]:
    enter = ["nsenter", f"--net={netns_path}"] if netns_path else []
    return [*enter, "ip", *(["-force"] if force else []), "-batch", "-"]


def configure(commands: Sequence[str], netns_path: str | None = None, *, force: bool = False) -> None:
    """Carries out `ip` commands ("link set lo up") in order, in this namespace or the one at `netns_path`.

    Stops at the first that fails and raises LinkError; with `force` goes on past failures and raises nothing, for
    removal of what may be gone already. Blocks.
    """
    run = subprocess.run(_argv(netns_path, force), input="\n".join(commands).encode(), capture_output=True, check=False)
    if run.returncode and not force:
        raise LinkError(run.stderr.decode(errors="replace").strip())


async def configure_async(commands: Sequence[str], netns_path: str | None = None, *, force: bool = False) -> None:
    """`configure` without blocking the event loop. Cancelling it does not stop a batch that has begun."""
    process = await asyncio.create_subprocess_exec(
        *_argv(netns_path, force),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate("\n".join(commands).encode())
    if process.returncode and not force:
        raise LinkError(stderr.decode(errors="replace").strip())
