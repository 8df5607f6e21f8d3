"""The few system calls that Python's `os` lacks (3.11), through libc, raising OSError like the rest of `os`."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x0002_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWNET = 0x4000_0000

_SYS_OPENAT2 = 437
_RESOLVE_IN_ROOT = 0x10


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def unshare(flags: int) -> None:
    """Moves the calling thread into new namespaces."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Moves the calling thread into the namespace behind `fd`. Never on the event loop's thread."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, filesystem: str, flags: int, options: str = "") -> None:
    _checked(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            os.fsencode(filesystem),
            ctypes.c_ulong(flags),
            os.fsencode(options) if options else None,
        ),
        target,
    )


def umount2(target: str, flags: int) -> None:
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), target)


def prctl(option: int, argument: int | bytes) -> None:
    """An operation on the calling process or thread, of those that take one argument."""
    value = argument if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    _checked(_libc.prctl(ctypes.c_int(option), value, 0, 0, 0), "prctl")


def syncfs(fd: int) -> None:
    """Writes the whole file system that `fd` is on to its disk."""
    _checked(_libc.syncfs(ctypes.c_int(fd)), "syncfs")


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_in_root(root_fd: int, path: str, flags: int) -> int:
    """Opens `path` as if `root_fd` were `/`: neither `..` nor a symbolic link can leave it (openat2, Linux 5.6)."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    encoded = os.fsencode(path) or b"."
    return _checked(
        _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(root_fd),
            encoded,
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        ),
        path,
    )
