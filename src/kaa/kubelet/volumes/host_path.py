"""hostPath: a path of the node itself, checked to be of the wanted type."""

from collections.abc import Callable
from pathlib import Path

from kaa.api.objects import Object
from kaa.kubelet.volumes.volume import Request, VolumeFault

CHECKS: dict[str, tuple[str, Callable[[Path], bool]]] = {
    "Directory": ("directory", Path.is_dir),
    "File": ("file", Path.is_file),
    "Socket": ("socket", Path.is_socket),
    "CharDevice": ("character device", Path.is_char_device),
    "BlockDevice": ("block device", Path.is_block_device),
}


async def mount_host_path(request: Request) -> Path:
    path = request.on_node(request.source["path"])
    check_host_path(path, request.source)
    return path


def check_host_path(path: Path, source: Object) -> None:
    """Raises VolumeFault when there is something else. The two `OrCreate` types make what is missing."""
    kind = source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        kind = "Directory"
    elif kind == "FileOrCreate":
        if not path.exists():
            path.touch(mode=0o644)
        kind = "File"
    if not kind:
        return
    what, is_wanted = CHECKS[kind]
    if not is_wanted(path):
        raise VolumeFault(f"hostPath type check failed: {source['path']} is not a {what}")
