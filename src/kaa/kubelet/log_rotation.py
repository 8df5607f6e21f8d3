"""Keeps container logs small: a log of more than 10 MiB is put aside and a new one begun; five files are kept.

The runtime writes on into the renamed file until ReopenContainerLog, so no line is lost. Unlike upstream's,
files put aside are not compressed: `kubectl logs` reads them as they are.
"""

from datetime import datetime
from pathlib import Path

from kaa.cri.cri import RuntimeFault, RuntimeService

MAX_BYTES = 10 * 1024**2
MAX_FILES = 5
CHECK_SECONDS = 10.0


def log_files(path: Path) -> list[Path]:
    """The log's files, oldest first; the one being written is last."""
    return [*sorted(path.parent.glob(f"{path.name}.*")), *([path] if path.exists() else [])]


async def rotate(runtime: RuntimeService, container_id: str, path: Path, now: datetime) -> None:
    """Puts the log aside if it is too large. Raises RuntimeFault, with the log back in its place."""
    if not path.is_file() or path.stat().st_size < MAX_BYTES:
        return
    for old in log_files(path)[: -(MAX_FILES - 1)]:
        old.unlink()
    aside = path.with_name(f"{path.name}.{now:%Y%m%d-%H%M%S}")
    path.rename(aside)
    try:
        await runtime.reopen_container_log({"container_id": container_id})
    except RuntimeFault:
        aside.rename(path)
        raise
