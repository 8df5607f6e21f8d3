"""The keys of a ConfigMap or Secret as files: what `items`, `defaultMode` and `optional` mean for each source."""

from kaa.api.objects import Object
from kaa.kubelet.environment import decoded
from kaa.kubelet.volumes.payload import File
from kaa.kubelet.volumes.volume import Request, VolumeFault

DEFAULT_MODE = 0o644


async def keys_payload(request: Request, kind: str, name: str, source: Object, default_mode: int) -> dict[str, File]:
    """`source` may have `items` and `optional`. Raises VolumeFault when it, or a key, is missing and not optional."""
    namespace = request.pod["metadata"]["namespace"]
    obj = await request.objects.get(kind, namespace, name)
    if obj is None and not source.get("optional"):
        obj = await request.objects.get(kind, namespace, name, fresh=True)
    if obj is None:
        if source.get("optional"):
            return {}
        raise VolumeFault(f'{kind.lower()} "{name}" not found')
    data = decoded(obj)
    items = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in data.items()}
    payload = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise VolumeFault(f"references non-existent {kind.lower()} key: {item['key']}")
        mode = item.get("mode")
        payload[_safe(item["path"])] = File(data[item["key"]], default_mode if mode is None else mode)
    return payload


def _safe(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise VolumeFault(f"invalid path {path}")
    return path


def default_mode(source: Object) -> int:
    mode = source.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)
