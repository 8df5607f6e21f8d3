"""NodeRestriction: a kubelet writes about itself and its own pods only.

The node authorizer decides on verbs and names; this decides on contents: which pod is created or deleted, which node
and which of its labels are changed.
"""

from kaa.api.objects import Object, annotations_of, labels_of
from kaa.server.admission.plugin import CREATE, DELETE, UPDATE, Context, Plugin, created, refused
from kaa.server.admission.service_account import MIRROR_ANNOTATION
from kaa.server.authorization.node import LEASE_NAMESPACE, node_of, references
from kaa.server.request import AdmissionRequest

RESTRICTED_LABEL_DOMAIN = "node-restriction.kubernetes.io"

KUBELET_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
"""The labels under kubernetes.io and k8s.io that a kubelet may set on its node."""


async def restrict(request: AdmissionRequest, context: Context) -> None:
    node = node_of(request.attributes.user)
    if not node:
        return
    check = CHECKS.get((request.resource.kind, request.attributes.subresource))
    if check is not None and (objection := check(request, node, context)):
        raise refused(request, objection)


def _check_pod(request: AdmissionRequest, node: str, context: Context) -> str:
    if request.operation == DELETE:
        bound = (request.old or {}).get("spec", {}).get("nodeName")
        return "" if bound == node else f'node "{node}" can only delete pods with spec.nodeName set to itself'
    if request.operation == UPDATE:
        return f'unexpected operation "UPDATE", node "{node}" can only create and delete mirror pods'
    pod = created(request)
    if MIRROR_ANNOTATION not in annotations_of(pod):
        return f'pod does not have "{MIRROR_ANNOTATION}" annotation, node "{node}" can only create mirror pods'
    if pod["spec"].get("nodeName") != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    if references(pod):
        return f'node "{node}" can not create pods that reference secrets, configmaps or persistentvolumeclaims'
    return ""


def _check_pod_status(request: AdmissionRequest, node: str, context: Context) -> str:
    if (request.old or {}).get("spec", {}).get("nodeName") != node:
        return f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
    if labels_of(request.old or {"metadata": {}}) != labels_of(created(request)):
        return f'node "{node}" cannot update labels through pod status'
    return ""


def _check_eviction(request: AdmissionRequest, node: str, context: Context) -> str:
    pod = context.reader.get("Pod", request.attributes.name, request.attributes.namespace)
    if pod is None or pod["spec"].get("nodeName") != node:
        return f"node {node} can only evict pods with spec.nodeName set to itself"
    return ""


def _check_node(request: AdmissionRequest, node: str, context: Context) -> str:
    name = request.attributes.name or created(request)["metadata"].get("name", "")
    if name != node:
        return f'node "{node}" is not allowed to modify node "{name}"'
    if request.operation == CREATE:
        return _label_objection(node, {}, labels_of(created(request)))
    if request.operation == UPDATE and request.old is not None:
        if request.old.get("spec", {}).get("taints") != created(request).get("spec", {}).get("taints"):
            return f'node "{node}" is not allowed to modify taints'
        return _label_objection(node, labels_of(request.old), labels_of(created(request)))
    return ""


def _label_objection(node: str, old: Object, new: Object) -> str:
    changed = sorted(key for key in {**old, **new} if old.get(key) != new.get(key))
    forbidden = [key for key in changed if not _kubelet_may_set(key)]
    if not forbidden:
        return ""
    return f'node "{node}" is not allowed to modify labels: {", ".join(forbidden)}'


def _kubelet_may_set(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    if not slash:
        return True
    if _within(domain, RESTRICTED_LABEL_DOMAIN):
        return False
    if label in KUBELET_LABELS or any(_within(domain, allowed) for allowed in KUBELET_LABEL_DOMAINS):
        return True
    return not (_within(domain, "kubernetes.io") or _within(domain, "k8s.io"))


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)


def _check_lease(request: AdmissionRequest, node: str, context: Context) -> str:
    metadata = (request.object or request.old or {}).get("metadata") or {}
    name = request.attributes.name or metadata.get("name", "")
    if request.attributes.namespace != LEASE_NAMESPACE:
        return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
    return "" if name == node else "can only access node lease with the same name as the requesting node"


def _check_own_name(request: AdmissionRequest, node: str, context: Context) -> str:
    metadata = (request.object or request.old or {}).get("metadata") or {}
    name = request.attributes.name or metadata.get("name", "")
    return "" if name == node else f"can only access {request.resource.kind} with the same name as the requesting node"


def _check_certificate(request: AdmissionRequest, node: str, context: Context) -> str:
    """A certificate is for a pod that this node runs, under the pod's own service account."""
    if request.operation != CREATE:
        return ""  # the node's role lets it create them, no more
    spec = created(request).get("spec") or {}
    if spec.get("nodeName") != node:
        named = spec.get("nodeName", "")
        return f'PodCertificateRequest.Spec.NodeName="{named}", which is not the requesting node "{node}"'
    pod = context.reader.get("Pod", spec.get("podName", ""), request.attributes.namespace)
    if pod is None or pod["metadata"]["uid"] != spec.get("podUID") or pod["spec"].get("nodeName") != node:
        return f'PodCertificateRequest is not for a pod that runs on node "{node}"'
    if pod["spec"].get("serviceAccountName") != spec.get("serviceAccountName"):
        return f'PodCertificateRequest for pod "{spec["podName"]}" is not for the service account of the pod'
    return ""


CHECKS = {
    ("Pod", ""): _check_pod,
    ("Pod", "status"): _check_pod_status,
    ("Pod", "eviction"): _check_eviction,
    ("Node", ""): _check_node,
    ("Node", "status"): _check_node,
    ("Lease", ""): _check_lease,
    ("CSINode", ""): _check_own_name,
    ("PodCertificateRequest", ""): _check_certificate,
}

NODE_RESTRICTION = Plugin(
    name="NodeRestriction",
    operations=frozenset({CREATE, UPDATE, DELETE}),
    subresources=frozenset({"", "status", "eviction"}),
    validate=restrict,
)
