"""Namespaces: made, pinned by a bind mount, and entered by a thread of its own.

`setns` and `unshare` move only the calling thread. So whatever happens in another namespace happens in a fresh thread
that ends with it: a thread of a shared pool would carry the namespace to whoever uses it next.

A namespace lives while a process is in it, a descriptor of it is open, or a bind mount of its /proc file exists. A
pod's network, IPC and UTS namespaces are pinned by such mounts, with no process at all. Only a PID namespace needs a
process: its first one.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from kaa.cri.linux import mounts
from kaa.lib import libc

T = TypeVar("T")

FLAGS = {"net": libc.CLONE_NEWNET, "ipc": libc.CLONE_NEWIPC, "uts": libc.CLONE_NEWUTS}
"""The namespaces that can be pinned without a process, by the name of their /proc file."""


async def in_fresh_thread(work: Callable[[], T]) -> T:
    """Runs blocking work in a thread that nobody uses afterwards.

    When the caller is cancelled the thread ends by itself with its work: give the work an end of its own.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as e:  # handed to the caller, whatever it is
            error = e
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=body, name="kaa-namespace", daemon=True).start()
    return await future


async def in_namespace(path: str, work: Callable[[], T]) -> T:
    """Runs blocking work in the namespace at `path`, or in our own when it is empty."""

    def enter_and_work() -> T:
        if path:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc.setns(fd)
            finally:
                os.close(fd)
        return work()

    return await in_fresh_thread(enter_and_work)


async def create_pinned(targets: Mapping[str, Path], hostname: str, sysctls: Mapping[str, str]) -> None:
    """Makes the named namespaces (keys of `FLAGS`) and pins each at its target file.

    `hostname` becomes the new UTS namespace's. `sysctls` are written from inside, so that `net.*`, `kernel.shm*` and
    `fs.mqueue.*` go to the new namespaces.
    """

    def work() -> None:
        flags = 0
        for kind in targets:
            flags |= FLAGS[kind]
        libc.unshare(flags)
        if "uts" in targets and hostname:
            socket.sethostname(hostname)
        for name, value in sysctls.items():
            Path("/proc/sys", name.replace(".", "/")).write_text(value)
        for kind, target in targets.items():
            target.touch()
            mounts.bind(f"/proc/thread-self/ns/{kind}", str(target))

    await in_fresh_thread(work)


def unpin(target: Path) -> None:
    """Takes the bind mount and its file away. Twice is once."""
    mounts.unmount(str(target))
    target.unlink(missing_ok=True)


def is_pinned(target: Path) -> bool:
    """Whether a namespace is mounted there: its file then is on another device (nsfs) than the directory."""
    try:
        return target.stat().st_dev != target.parent.stat().st_dev
    except FileNotFoundError:
        return False
