"""Defaults of pods and of the pod templates in workloads.

A pod gets a few more than a template: service links, requests from limits, and host ports of a pod in the host's
network are decided when the pod is made.
"""

from functools import lru_cache

from kaa.api.defaults.walker import EMPTY, compile_defaults, created, zero
from kaa.api.objects import Object
from kaa.api.quantity import InvalidQuantity, format_quantity
from kaa.api.resource import SetDefaults

FILE_MODE = 0o644
TOKEN_SECONDS = 3600


def pull_policy(container: Object) -> str:
    """Always for the tag `latest`, which an image without a tag means; a digest never changes what it names."""
    image: str = container.get("image") or container.get("reference") or ""
    _, colon, tag = image.rpartition("/")[2].partition(":")
    is_latest = bool(image) and "@" not in image and (not colon or tag == "latest")
    return "Always" if is_latest else "IfNotPresent"


@lru_cache(maxsize=4096)
def canonical(quantity: str | int | float) -> str:
    """The quantity as upstream writes it; one that is none is left to validation."""
    try:
        return format_quantity(quantity)
    except InvalidQuantity:
        return str(quantity)


def canonical_map(field: str) -> SetDefaults:
    """Writes the quantities of one map (capacity, hard, overhead) in canonical form."""

    def apply(obj: Object) -> None:
        if amounts := obj.get(field):
            for name, amount in amounts.items():
                amounts[name] = canonical(amount)

    return apply


def requests_from_limits(container: Object) -> None:
    """What is limited and not requested is requested in full."""
    resources = container.get("resources") or {}
    if limits := resources.get("limits"):
        resources["requests"] = limits | (resources.get("requests") or {})


RESOURCES = {"": (canonical_map("limits"), canonical_map("requests"))}
HTTP_GET = {"path": "/", "scheme": "HTTP"}
PROBE = {
    "timeoutSeconds": zero(1),
    "periodSeconds": zero(10),
    "successThreshold": zero(1),
    "failureThreshold": zero(3),
    "httpGet": HTTP_GET,
    "grpc": {"service": lambda grpc: ""},
}
HANDLER = {"httpGet": HTTP_GET}
FIELD_REFERENCE = {"apiVersion": "v1"}

CONTAINER = {
    "imagePullPolicy": pull_policy,
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": created(RESOURCES),
    "ports[]": {"protocol": "TCP"},
    "env[]": {"valueFrom": {"fieldRef": FIELD_REFERENCE}},
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "startupProbe": PROBE,
    "lifecycle": {"postStart": HANDLER, "preStop": HANDLER},
}

DOWNWARD_ITEMS = {"items[]": {"fieldRef": FIELD_REFERENCE}}
CLAIM_SPEC = {"volumeMode": "Filesystem", "resources": created(RESOURCES)}

VOLUME_SOURCE = {
    "hostPath": {"type": lambda source: ""},
    "secret": {"defaultMode": FILE_MODE},
    "configMap": {"defaultMode": FILE_MODE},
    "downwardAPI": {"defaultMode": FILE_MODE} | DOWNWARD_ITEMS,
    "projected": {
        "defaultMode": FILE_MODE,
        "sources[]": {
            "downwardAPI": DOWNWARD_ITEMS,
            "serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS},
            "podCertificate": {"maxExpirationSeconds": 86400},
        },
    },
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "ephemeral": {"volumeClaimTemplate": {"metadata": EMPTY, "spec": CLAIM_SPEC}},
    "image": {"pullPolicy": pull_policy},
}


def empty_dir_if_nothing(volume: Object) -> None:
    if len(volume) == 1:  # a name and no source
        volume["emptyDir"] = {}


def service_account_alias(spec: Object) -> None:
    """`serviceAccount` is the deprecated twin of `serviceAccountName`: both are always shown."""
    if name := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = name


POD_SPEC = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
    "securityContext": EMPTY,
    "containers[]": CONTAINER,
    "initContainers[]": CONTAINER,
    "ephemeralContainers[]": CONTAINER,
    "volumes[]": VOLUME_SOURCE | {"": empty_dir_if_nothing},
    "resources": RESOURCES,
    "": (service_account_alias, canonical_map("overhead")),
}

TEMPLATE = {"metadata": EMPTY, "spec": created(POD_SPEC)}


def host_ports(pod: Object) -> None:
    """In the host's network a container's port is the host's."""
    spec = pod["spec"]
    if not spec.get("hostNetwork"):
        return
    for container in (spec.get("containers") or []) + (spec.get("initContainers") or []):
        for port in container.get("ports") or ():
            if not port.get("hostPort"):
                port["hostPort"] = port.get("containerPort", 0)


def pod_requests(pod: Object) -> None:
    spec = pod["spec"]
    for container in (spec.get("containers") or []) + (spec.get("initContainers") or []):
        requests_from_limits(container)
    default_pod_level_requests(spec)


def default_pod_level_requests(spec: Object) -> None:
    """Limits of the pod as a whole: what is not requested is the containers' sum if they name it, else the limit."""
    resources = spec.get("resources")
    if not resources or not resources.get("limits"):
        return
    requests = resources.setdefault("requests", {})
    asked = [((c.get("resources") or {}).get("requests") or {}) for c in spec.get("containers") or ()]
    for name, limit in resources["limits"].items():
        if name not in requests and not any(name in request for request in asked):
            requests[name] = limit


def addresses(status: Object) -> None:
    """The first of `podIPs` is `podIP`: who knows only that one is believed."""
    first, several = status.get("podIP"), status.get("podIPs") or []
    if first and (not several or several[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif several:
        status["podIP"] = several[0].get("ip", "")


POD = compile_defaults(
    {
        "spec": created(POD_SPEC | {"enableServiceLinks": True}),
        "status": created({"phase": "Pending", "": addresses}),
        "": (host_ports, pod_requests),
    }
)
POD_TEMPLATE = compile_defaults({"template": created(TEMPLATE)})
