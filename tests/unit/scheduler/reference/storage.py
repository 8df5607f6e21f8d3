"""Storage by chance: classes, volumes, claims in all their states, drivers with limits and capacities."""

from typing import TYPE_CHECKING, Any

from tests.unit.scheduler.reference.cluster import Cluster, Pod
from tests.unit.scheduler.reference.volumes import BETA_CLASS, BIND_COMPLETED, SELECTED_NODE

if TYPE_CHECKING:
    from tests.unit.scheduler.reference.generate import Chance

Object = dict[str, Any]
ZONE = "topology.kubernetes.io/zone"
DRIVERS = ("a.csi.example", "b.csi.example")
CLASSES = {"local": "kubernetes.io/no-provisioner", "late": DRIVERS[0], "late-b": DRIVERS[1], "soon": DRIVERS[0]}


class Storage:
    def __init__(self, chance: "Chance", cluster: Cluster) -> None:
        self.chance, self.cluster = chance, cluster
        for name, provisioner in CLASSES.items():
            mode = "Immediate" if name == "soon" else "WaitForFirstConsumer"
            storage_class: Object = {"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner}
            storage_class["volumeBindingMode"] = mode
            if chance.often(0.2):
                zones = {"key": ZONE, "values": ["z1", "z2"]}
                storage_class["allowedTopologies"] = [{"matchLabelExpressions": [zones]}]
            self.add(storage_class)
        for driver in DRIVERS:
            self.add_driver(driver)
        for number in range(chance.random.randint(0, 6)):
            self.add_volume(f"pv-{number}", chance.one(["local", "late"]), chance.one(["1Gi", "2Gi", "5Gi"]))

    def add(self, obj: Object) -> Object:
        self.cluster.others.append(obj)
        return obj

    def add_driver(self, name: str) -> None:
        chance = self.chance
        spec = {"storageCapacity": chance.often(0.5), "preventPodSchedulingIfMissing": chance.often(0.2)}
        if chance.often(0.7):
            self.add({"kind": "CSIDriver", "metadata": {"name": name}, "spec": spec})
        for storage_class, provisioner in CLASSES.items():
            for zone in ("z1", "z2", "z3"):
                if provisioner == name and chance.often(0.6):
                    metadata = {"name": f"{storage_class}-{zone}", "namespace": "default"}
                    capacity = {"kind": "CSIStorageCapacity", "metadata": metadata, "storageClassName": storage_class}
                    capacity |= {"capacity": chance.one(["1Gi", "10Gi"]), "nodeTopology": {"matchLabels": {ZONE: zone}}}
                    if chance.often(0.2):
                        capacity["maximumVolumeSize"] = "2Gi"
                    self.add(capacity)
        for node in self.cluster.nodes:
            if chance.often(0.5):
                drivers: list[Object] = [{"name": name, "nodeID": "x"}]
                if chance.often(0.6):
                    drivers[0]["allocatable"] = {"count": chance.random.randint(1, 2)}
                known = self.cluster.find("CSINode", node["metadata"]["name"])
                if known is not None:
                    known["spec"]["drivers"] += drivers
                else:
                    self.add({"kind": "CSINode", "metadata": dict(node["metadata"]), "spec": {"drivers": drivers}})

    def add_volume(self, name: str, storage_class: str, size: str) -> Object:
        chance = self.chance
        metadata: Object = {"name": name}
        spec: Object = {"storageClassName": storage_class, "capacity": {"storage": size}}
        spec["accessModes"] = chance.one([["ReadWriteOnce"], ["ReadWriteOnce", "ReadOnlyMany"]])
        if storage_class != "local" or chance.often(0.3):
            spec["csi"] = {"driver": chance.one(DRIVERS), "volumeHandle": name}
        if chance.often(0.5):
            expression = {"key": ZONE, "operator": "In", "values": [chance.one(["z1", "z2"])]}
            spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
        if chance.often(0.2):
            metadata["labels"] = {chance.one([ZONE, "failure-domain.beta.kubernetes.io/zone"]): "z1__z3"}
        phase = "Available" if chance.often(0.9) else "Released"
        volume = {"kind": "PersistentVolume", "metadata": metadata, "spec": spec, "status": {"phase": phase}}
        if chance.often(0.2) and "csi" in spec:
            node = chance.one(self.cluster.nodes)["metadata"]["name"]
            attachment = {"nodeName": node, "attacher": spec["csi"]["driver"]}
            attachment["source"] = {"persistentVolumeName": name}
            self.add({"kind": "VolumeAttachment", "metadata": {"name": f"va-{name}"}, "spec": attachment})
        return self.add(volume)

    def add_claim(self, name: str, namespace: str) -> Object:
        chance = self.chance
        metadata: Object = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"}
        modes = chance.one([["ReadWriteOnce"], ["ReadWriteOnce"], ["ReadOnlyMany"], ["ReadWriteOncePod"]])
        storage_class = chance.one(["local", "late", "late-b"]) if chance.often(0.95) else "soon"
        spec: Object = {"accessModes": modes, "resources": {"requests": {"storage": chance.one(["1Gi", "3Gi"])}}}
        if chance.often(0.9):
            spec["storageClassName"] = storage_class
        else:
            metadata["annotations"] = {BETA_CLASS: storage_class}
        claim = {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        if chance.often(0.4):
            volume = self.add_volume(f"pv-of-{namespace}-{name}", storage_class, "5Gi")
            volume["spec"]["claimRef"] = {"name": name, "namespace": namespace, "uid": metadata["uid"]}
            if chance.often(0.9):  # else the volume is only meant for it
                volume["status"]["phase"] = "Bound"
                spec["volumeName"] = volume["metadata"]["name"]
                metadata.setdefault("annotations", {})[BIND_COMPLETED] = "yes"
                claim["status"] = {"phase": "Bound"}
        elif chance.often(0.1):
            selected = chance.one(self.cluster.nodes)["metadata"]["name"]
            metadata.setdefault("annotations", {})[SELECTED_NODE] = selected
        if chance.often(0.03):
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return self.add(claim)


def volumes(chance: "Chance", pod: Pod, storage: Storage) -> list[Object]:
    """One or two volumes of a pod; claims are made when first named, nearly always."""
    found: list[Object] = []
    for number in range(chance.random.randint(1, 2)):
        kind = chance.one(["claim", "claim", "claim", "ephemeral", "disk"])
        name, namespace = f"v{number}", pod["metadata"]["namespace"]
        if kind == "disk":
            found.append({"name": name, **chance.one(DISKS)})
        elif kind == "claim":
            claim = f"claim-{2 * chance.random.randint(0, 2) + number}"  # a pod has each but once
            if storage.cluster.find("PersistentVolumeClaim", claim, namespace) is None and chance.often(0.95):
                storage.add_claim(claim, namespace)
            found.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        else:
            if chance.often(0.9):
                claim_object = storage.add_claim(f"{pod['metadata']['name']}-{name}", namespace)
                owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "controller": True}
                owner["uid"] = pod["metadata"]["uid"] if chance.often(0.95) else "another"
                claim_object["metadata"]["ownerReferences"] = [owner]
            found.append({"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": {}}}})
    return found


DISKS: tuple[Object, ...] = (
    {"gcePersistentDisk": {"pdName": "disk"}},
    {"gcePersistentDisk": {"pdName": "disk", "readOnly": True}},
    {"awsElasticBlockStore": {"volumeID": "vol", "readOnly": True}},
    {"iscsi": {"iqn": "iqn", "targetPortal": "x", "lun": 0, "readOnly": True}},
    {"iscsi": {"iqn": "iqn", "targetPortal": "x", "lun": 0}},
    {"rbd": {"monitors": ["m1", "m2"], "image": "i", "pool": "rbd"}},
    {"rbd": {"monitors": ["m2"], "image": "i", "pool": "rbd", "readOnly": True}},
)
