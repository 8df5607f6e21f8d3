"""persistentVolumeClaim and ephemeral: the directory of the bound volume, which must be a path of this node."""

from dataclasses import replace
from pathlib import Path

from kaa.kubelet.volumes.host_path import check_host_path
from kaa.kubelet.volumes.ownership import own
from kaa.kubelet.volumes.volume import Request, VolumeFault


async def mount_claim(request: Request) -> Path:
    name, namespace = request.source["claimName"], request.pod["metadata"]["namespace"]
    # A claim is bound at some moment after the pod: what is known of an unbound one is of no use.
    claim = await request.objects.get("PersistentVolumeClaim", namespace, name)
    if claim is None or (claim.get("status") or {}).get("phase") != "Bound":
        claim = await request.objects.get("PersistentVolumeClaim", namespace, name, fresh=True)
    if claim is None:
        raise VolumeFault(f'persistentvolumeclaim "{name}" not found')
    volume_name = claim["spec"].get("volumeName")
    if (claim.get("status") or {}).get("phase") != "Bound" or not volume_name:
        raise VolumeFault(f"PVC {namespace}/{name} is not bound")
    volume = await request.objects.get("PersistentVolume", "", volume_name)
    if volume is None:
        raise VolumeFault(f'persistentvolume "{volume_name}" not found')
    spec = volume["spec"]
    if source := spec.get("hostPath"):
        path = request.on_node(source["path"])
        check_host_path(path, source)
        return path
    if source := spec.get("local"):
        path = request.on_node(source["path"])
        if not path.exists():
            raise VolumeFault(f'path "{source["path"]}" does not exist')
        own(path, request.pod)
        return path
    raise VolumeFault(f'persistentvolume "{volume_name}" is neither hostPath nor local, and others are not supported')


async def mount_ephemeral(request: Request) -> Path:
    """The claim that the controller made for this pod and volume."""
    claim = f"{request.pod['metadata']['name']}-{request.name}"
    return await mount_claim(replace(request, source={"claimName": claim}))
