"""Every kind of volume that the kubelet mounts: one row and one file each.

An image as a volume is the runtime's to mount. Others (nfs, iscsi, csi, ...) fail to mount with a message that says so.
"""

from kaa.kubelet.volumes.config_map import mount_config_map
from kaa.kubelet.volumes.downward_api import mount_downward_api
from kaa.kubelet.volumes.empty_dir import mount_empty_dir
from kaa.kubelet.volumes.host_path import mount_host_path
from kaa.kubelet.volumes.persistent_volume_claim import mount_claim, mount_ephemeral
from kaa.kubelet.volumes.projected import mount_projected
from kaa.kubelet.volumes.secret import mount_secret
from kaa.kubelet.volumes.volume import Volume

VOLUMES: tuple[Volume, ...] = (
    Volume("emptyDir", "kubernetes.io~empty-dir", mount_empty_dir),
    Volume("configMap", "kubernetes.io~configmap", mount_config_map),
    Volume("secret", "kubernetes.io~secret", mount_secret),
    Volume("downwardAPI", "kubernetes.io~downward-api", mount_downward_api),
    Volume("projected", "kubernetes.io~projected", mount_projected),
    Volume("hostPath", "kubernetes.io~host-path", mount_host_path),
    Volume("persistentVolumeClaim", "kubernetes.io~persistent-volume", mount_claim),
    Volume("ephemeral", "kubernetes.io~persistent-volume", mount_ephemeral),
)
