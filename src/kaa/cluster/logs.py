"""A component's log: one file that rotates, holding what it logs and whatever else reaches its stdout and stderr.

The raw descriptors follow the rotation, so that a traceback of the interpreter itself or a child's complaint lands in
the same file.
"""

import logging
import logging.handlers
import os
import sys
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT_FILES = 3
FORMAT = "%(asctime)s.%(msecs)03d %(levelname).1s %(name)s: %(message)s"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S"


class _RotatingWithDescriptors(logging.handlers.RotatingFileHandler):
    def _open(self):  # type: ignore[no-untyped-def]
        stream = super()._open()
        for fd in (1, 2):
            os.dup2(stream.fileno(), fd)
        return stream


def log_to(path: Path) -> None:
    """Sends all logging, stdout and stderr of this process to the file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _install(_RotatingWithDescriptors(path, maxBytes=MAX_BYTES, backupCount=KEPT_FILES))


def log_to_stderr() -> None:
    """For a component in the foreground."""
    _install(logging.StreamHandler(sys.stderr))


def _install(handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter(FORMAT, DATE_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def files_of(path: Path) -> list[Path]:
    """The log and its older parts, oldest first."""
    older = [path.with_name(f"{path.name}.{n}") for n in range(KEPT_FILES, 0, -1)]
    return [p for p in [*older, path] if p.exists()]
