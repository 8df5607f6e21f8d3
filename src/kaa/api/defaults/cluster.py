"""Defaults of namespaces, nodes, secrets, quotas, roles, leases and classes."""

from base64 import b64encode

from kaa.api.defaults.pods import canonical_map
from kaa.api.defaults.walker import EMPTY, compile_defaults, created
from kaa.api.objects import Object

NAME_LABEL = "kubernetes.io/metadata.name"
RBAC_GROUP = "rbac.authorization.k8s.io"


def name_label(namespace: Object) -> None:
    """Selectors can name a namespace by the label that every one has."""
    metadata = namespace["metadata"]
    if metadata.get("name"):
        metadata.setdefault("labels", {})[NAME_LABEL] = metadata["name"]


NAMESPACE = compile_defaults({"spec": EMPTY, "status": created({"phase": "Active"}), "": name_label})


def allocatable(status: Object) -> Object | None:
    return dict(status["capacity"]) if status.get("capacity") else None


def ranges(spec: Object) -> None:
    """The first of `podCIDRs` is `podCIDR`: who knows only that one is believed."""
    first, several = spec.get("podCIDR"), spec.get("podCIDRs") or []
    if first and (not several or several[0] != first):
        spec["podCIDRs"] = [first]
    elif several:
        spec["podCIDR"] = several[0]


NODE = compile_defaults(
    {
        "spec": created({"": ranges}),
        "status": created(
            {
                "allocatable": allocatable,
                "daemonEndpoints": created({"kubeletEndpoint": created({"Port": 0})}),
                "": (canonical_map("capacity"), canonical_map("allocatable")),
            }
        ),
    }
)


def string_data(secret: Object) -> None:
    """`stringData` is only for writing: its texts go into `data`, over what is there."""
    texts = secret.pop("stringData", None)
    if texts:
        encoded = {key: b64encode(text.encode()).decode() for key, text in texts.items()}
        secret["data"] = (secret.get("data") or {}) | encoded


SECRET = compile_defaults({"type": "Opaque", "": string_data})


def limit_range_item(item: Object) -> None:
    """Of containers: the default limit is the maximum; the default request that limit, else the minimum."""
    if item.get("type") != "Container":
        return
    limits = (item.get("max") or {}) | (item.get("default") or {})
    requests = (item.get("min") or {}) | limits | (item.get("defaultRequest") or {})
    if limits:
        item["default"] = limits
    if requests:
        item["defaultRequest"] = requests


LIMIT_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
LIMIT_RANGE = compile_defaults(
    {"spec": created({"limits[]": {"": (*(canonical_map(field) for field in LIMIT_FIELDS), limit_range_item)}})}
)

RESOURCE_QUOTA = compile_defaults({"spec": created({"": canonical_map("hard")}), "status": EMPTY})


def subject_group(subject: Object) -> str | None:
    return None if subject.get("kind") == "ServiceAccount" else RBAC_GROUP


ROLE_BINDING = compile_defaults(
    {"roleRef": created({"apiGroup": RBAC_GROUP}), "subjects[]": {"apiGroup": subject_group}}
)
ROLE = compile_defaults({"": lambda role: role.setdefault("rules", None)})

PRIORITY_CLASS = compile_defaults({"preemptionPolicy": "PreemptLowerPriority"})
CERTIFICATE_SIGNING_REQUEST = compile_defaults({"spec": EMPTY, "status": EMPTY})
POD_CERTIFICATE_REQUEST = compile_defaults({"spec": created({"maxExpirationSeconds": 86400}), "status": EMPTY})
LEASE = compile_defaults({"spec": EMPTY})
