"""Where a pod's volumes let it go: the four volume plugins' rules, for one node at a time.

`whole_pod` rules come first: a claim that is missing, or ought to be bound and is not, is a reason that no node has.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tests.unit.scheduler.reference.cluster import Cluster, Node, Pod, labels, node_matches, number, selects

Object = dict[str, Any]
WAIT = "WaitForFirstConsumer"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
ZONE_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region": "topology.kubernetes.io/region",
}


def annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def class_of(obj: Object) -> str:
    return annotations(obj).get(BETA_CLASS) or obj["spec"].get("storageClassName") or ""


def size(obj: Object) -> int:
    """What a claim requests, or a volume has."""
    where = obj["spec"].get("capacity") or (obj["spec"].get("resources") or {}).get("requests") or {}
    return int(number(where.get("storage", "0")))


def claim_names(pod: Pod, *, ephemeral: bool = True) -> Iterator[tuple[str, bool]]:
    """Each with whether it is of an ephemeral volume."""
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"], False
        elif ephemeral and "ephemeral" in volume:
            yield f"{pod['metadata']['name']}-{volume['name']}", True


def claims(pod: Pod, cluster: Cluster) -> list[Object]:
    found = [cluster.find("PersistentVolumeClaim", name, pod["metadata"]["namespace"]) for name, _ in claim_names(pod)]
    return [claim for claim in found if claim is not None]


def is_bound(claim: Object) -> bool:
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations(claim)


def waits(claim: Object, cluster: Cluster) -> bool:
    """Whether the claim is to be bound when a pod is scheduled."""
    storage_class = cluster.find("StorageClass", class_of(claim))
    return (
        not is_bound(claim)
        and not claim["spec"].get("volumeName")
        and storage_class is not None
        and storage_class["volumeBindingMode"] == WAIT
    )


def whole_pod(pod: Pod, cluster: Cluster) -> str | None:
    """The first reason, in the plugins' order, why no node will do."""
    namespace = pod["metadata"]["namespace"]
    for name, _ in claim_names(pod, ephemeral=False):  # VolumeRestrictions
        if cluster.find("PersistentVolumeClaim", name, namespace) is None:
            return f'persistentvolumeclaim "{name}" not found'
    for name, ephemeral in claim_names(pod):  # VolumeBinding
        claim = cluster.find("PersistentVolumeClaim", name, namespace)
        if claim is None:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        if (claim.get("status") or {}).get("phase") == "Lost":
            volume = claim["spec"].get("volumeName", "")
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
        if "deletionTimestamp" in claim["metadata"]:
            return f'persistentvolumeclaim "{name}" is being deleted'
        owners = [ref["uid"] for ref in claim["metadata"].get("ownerReferences") or () if ref.get("controller")]
        if ephemeral and owners != [pod["metadata"]["uid"]]:
            pod_name = pod["metadata"]["name"]
            return f"PVC {namespace}/{name} was not created for pod {namespace}/{pod_name} (pod is not owner)"
    if any(not is_bound(claim) and not waits(claim, cluster) for claim in claims(pod, cluster)):
        return "pod has unbound immediate PersistentVolumeClaims"
    for name, _ in claim_names(pod, ephemeral=False):  # VolumeZone
        claim = cluster.find("PersistentVolumeClaim", name, namespace)
        volume = claim["spec"].get("volumeName") if claim is not None else None
        if volume and cluster.find("PersistentVolume", volume) is None:
            return f'persistentvolume "{volume}" not found'
    return None


def volume_restrictions(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    for volume in pod["spec"].get("volumes") or ():
        for other in cluster.pods_on(node):
            if any(conflicts(volume, theirs) for theirs in other["spec"].get("volumes") or ()):
                return ["node(s) had no available disk"]
    for name, _ in claim_names(pod, ephemeral=False):
        claim = cluster.find("PersistentVolumeClaim", name, pod["metadata"]["namespace"])
        if claim is None or "ReadWriteOncePod" not in claim["spec"]["accessModes"]:
            continue
        for other in cluster.pods:
            same = other["metadata"]["namespace"] == pod["metadata"]["namespace"] and cluster.node_of(other) is not None
            if same and name in dict(claim_names(other, ephemeral=False)):
                text = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode"
                return [f"{text} already in-use by another pod"]
    return []


def conflicts(mine: Object, theirs: Object) -> bool:
    """Two mounts of one disk, unless both only read (of an EBS volume: ever)."""
    for source, is_same in (
        ("gcePersistentDisk", lambda a, b: a["pdName"] == b["pdName"]),
        ("iscsi", lambda a, b: a["iqn"] == b["iqn"]),
        ("rbd", same_rbd),
    ):
        if source in mine and source in theirs and is_same(mine[source], theirs[source]):
            return not (mine[source].get("readOnly") and theirs[source].get("readOnly"))
    ebs = "awsElasticBlockStore"
    return ebs in mine and ebs in theirs and mine[ebs]["volumeID"] == theirs[ebs]["volumeID"]


def same_rbd(a: Object, b: Object) -> bool:
    same = a.get("pool") == b.get("pool") and a["image"] == b["image"]
    return same and bool(set(a["monitors"]) & set(b["monitors"]))


def driver_and_handle(claim: Object, cluster: Cluster) -> tuple[str, str] | None:
    volume = cluster.find("PersistentVolume", claim["spec"].get("volumeName") or "")
    if volume is not None:
        csi = volume["spec"].get("csi")
        return (csi["driver"], csi["volumeHandle"]) if csi else None
    storage_class = cluster.find("StorageClass", class_of(claim))
    if storage_class is None:
        return None
    return storage_class["provisioner"], f"of claim {claim['metadata']['namespace']}/{claim['metadata']['name']}"


def csi_volumes(pod: Pod, cluster: Cluster) -> set[tuple[str, str]]:
    found = (driver_and_handle(claim, cluster) for claim in claims(pod, cluster))
    return {volume for volume in found if volume is not None}


def node_volume_limits(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    new = csi_volumes(pod, cluster)
    csi_node = cluster.find("CSINode", node["metadata"]["name"])
    drivers = {d["name"]: d for d in csi_node["spec"]["drivers"]} if csi_node is not None else {}
    for name in sorted({driver for driver, _ in new}):
        driver = cluster.find("CSIDriver", name)
        if driver is not None and driver["spec"].get("preventPodSchedulingIfMissing") and name not in drivers:
            return [f"{name} CSI driver is not installed on the node"]
    attached = set().union(*(csi_volumes(other, cluster) for other in cluster.pods_on(node)))
    for attachment in cluster.all_of("VolumeAttachment"):
        volume = cluster.find("PersistentVolume", attachment["spec"]["source"].get("persistentVolumeName", ""))
        if attachment["spec"]["nodeName"] == node["metadata"]["name"] and volume and "csi" in volume["spec"]:
            attached.add((attachment["spec"]["attacher"], volume["spec"]["csi"]["volumeHandle"]))
    used_by_pods = set().union(*(csi_volumes(other, cluster) for other in cluster.pods_on(node)))
    for name, driver in drivers.items():
        limit = (driver.get("allocatable") or {}).get("count")
        more = sum(volume[0] == name for volume in new - used_by_pods)
        if limit is not None and more and sum(volume[0] == name for volume in attached) + more > limit:
            return ["node(s) exceed max volume count"]
    return []


def volume_zone(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    if not any(key in labels(node) for key in ZONE_LABELS):
        return []
    for name, _ in claim_names(pod, ephemeral=False):
        claim = cluster.find("PersistentVolumeClaim", name, pod["metadata"]["namespace"])
        volume = cluster.find("PersistentVolume", claim["spec"].get("volumeName") or "") if claim is not None else None
        for key, stable in ZONE_LABELS.items():
            if volume is not None and key in labels(volume):
                zone = labels(node).get(key, labels(node).get(stable))
                if zone not in labels(volume)[key].split("__"):
                    return ["node(s) had no available volume zone"]
    return []


def affinity_of_volume_holds(volume: Object, node: Node) -> bool:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or node_matches(required["nodeSelectorTerms"], node)


def is_for(volume: Object, claim: Object) -> bool:
    ref = volume["spec"].get("claimRef")
    return (
        ref is not None
        and (ref["name"], ref["namespace"]) == (claim["metadata"]["name"], claim["metadata"]["namespace"])
        and ref.get("uid", "") in ("", claim["metadata"]["uid"])
    )


def match_volume(claim: Object, node: Node, taken: set[str], cluster: Cluster) -> Object | None:
    """The volume that is meant for the claim, or else the smallest that will do."""
    modes = set(claim["spec"]["accessModes"])
    fitting = []
    for volume in cluster.all_of("PersistentVolume"):
        spec = volume["spec"]
        if volume["metadata"]["name"] in taken or class_of(volume) != class_of(claim):
            continue
        if ("claimRef" in spec and not is_for(volume, claim)) or size(volume) < size(claim):
            continue
        if spec.get("volumeMode", "Filesystem") != claim["spec"].get("volumeMode", "Filesystem"):
            continue
        if "deletionTimestamp" in volume["metadata"]:
            continue
        if is_for(volume, claim):
            return volume if affinity_of_volume_holds(volume, node) else None
        if volume["status"]["phase"] != "Available" or not modes <= set(spec["accessModes"]):
            continue
        if "selector" in claim["spec"] and not selects(claim["spec"]["selector"], labels(volume)):
            continue
        if affinity_of_volume_holds(volume, node):
            fitting.append(volume)
    return min(fitting, key=lambda volume: (size(volume), volume["metadata"]["name"]), default=None)


def capacity_for(claim: Object, storage_class: Object, node: Node, cluster: Cluster) -> tuple[bool, Object | None]:
    """Whether there is enough room for a new volume, and what says so."""
    driver = cluster.find("CSIDriver", storage_class["provisioner"])
    if driver is None or not driver["spec"].get("storageCapacity"):
        return True, None
    for capacity in cluster.all_of("CSIStorageCapacity"):
        limit = capacity.get("maximumVolumeSize", capacity.get("capacity"))
        same = capacity["storageClassName"] == storage_class["metadata"]["name"]
        if (
            same
            and limit is not None
            and number(limit) >= size(claim)
            and selects(capacity["nodeTopology"], labels(node))
        ):
            return True, capacity
    return False, None


def plan(pod: Pod, node: Node, cluster: Cluster) -> tuple[list[str], list[tuple[Object, Object]], list[Any]]:
    """Reasons against the node; the pairs of claim and volume to bind; the claims to provision, with capacity."""
    conflict, missing, satisfied, enough = False, False, True, True
    for claim in claims(pod, cluster):
        if is_bound(claim):
            volume = cluster.find("PersistentVolume", claim["spec"]["volumeName"])
            if volume is None:
                missing = True
                break
            if not affinity_of_volume_holds(volume, node):
                conflict = True
                break
    unbound = [claim for claim in claims(pod, cluster) if waits(claim, cluster)]
    provision = [claim for claim in unbound if SELECTED_NODE in annotations(claim)]
    pairs: list[tuple[Object, Object]] = []
    provisions: list[Any] = []
    if any(annotations(claim)[SELECTED_NODE] != node["metadata"]["name"] for claim in provision):
        satisfied, provision, unbound = False, [], []
    for claim in sorted((c for c in unbound if c not in provision), key=size):
        volume = match_volume(claim, node, {v["metadata"]["name"] for _, v in pairs}, cluster)
        if volume is not None:
            pairs.append((claim, volume))
        else:
            provision.append(claim)
    for claim in provision:
        storage_class = cluster.find("StorageClass", class_of(claim))
        assert storage_class is not None
        topologies = storage_class.get("allowedTopologies") or []
        reachable = not topologies or any(
            all(labels(node).get(e["key"]) in e["values"] for e in term["matchLabelExpressions"]) for term in topologies
        )
        if storage_class["provisioner"] == "kubernetes.io/no-provisioner" or not reachable:
            satisfied = False
            break
        enough, capacity = capacity_for(claim, storage_class, node, cluster)
        if not enough:
            break
        provisions.append((claim, capacity))
    reasons = [
        ("node(s) didn't match PersistentVolume's node affinity", conflict),
        ("node(s) didn't find available persistent volumes to bind", not satisfied),
        ("node(s) did not have enough free storage", not enough),
        ("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", missing),
    ]
    return [text for text, holds in reasons if holds], pairs, provisions


def volume_binding(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    return plan(pod, node, cluster)[0]


def volume_binding_scores(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    """The less of the volumes, or of the capacity for new ones, is used, the better."""

    def score(node: Node) -> int:
        _, pairs, provisions = plan(pod, node, cluster)
        use: dict[str, list[int]] = {}  # by class: requested, capacity
        for claim, volume in pairs:
            of_class = use.setdefault(class_of(volume), [0, 0])
            of_class[0] += size(claim)
            of_class[1] += size(volume)
        for claim, capacity in provisions if not pairs else ():
            if capacity is not None:
                of_class = use.setdefault(class_of(claim), [0, 0])
                of_class[0] += size(claim)
                of_class[1] = int(number(capacity["capacity"]))
        shares = [100 if not most or used > most else used * 100 // most for used, most in use.values()]
        points = [100 - share for share in shares]
        return (2 * sum(points) + len(points)) // (2 * len(points)) if points else 0

    return {node["metadata"]["name"]: score(node) for node in nodes}


VOLUME_FILTERS: dict[str, Callable[[Pod, Node, Cluster], list[str]]] = {
    "VolumeRestrictions": volume_restrictions,
    "NodeVolumeLimits": node_volume_limits,
    "VolumeBinding": volume_binding,
    "VolumeZone": volume_zone,
}
