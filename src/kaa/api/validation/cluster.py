"""Rules for configuration, namespaces, nodes, roles, leases, quotas, classes and certificate requests."""

from base64 import b64decode
from typing import Any

from kaa.api.objects import Object
from kaa.api.quantity import parse_quantity
from kaa.api.validation.containers import quantities
from kaa.api.validation.fields import IMMUTABLE, forbidden, invalid, not_supported, required, too_long
from kaa.api.validation.names import cidr, config_key, dns_label, dns_subdomain, path_segment, qualified_name
from kaa.api.validation.pods import EFFECTS
from kaa.api.validation.walker import (
    REQUIRED,
    Errors,
    above_zero,
    compile_rules,
    immutable,
    not_negative,
    one_of,
    valid,
)

MAX_DATA_BYTES = 1024 * 1024
"""A ConfigMap or Secret is at most 1 MiB, keys not counted."""

FROZEN = "field is immutable when `immutable` is set"


def check_keys(obj: Object, field: str, errors: Errors) -> None:
    for key in obj.get(field) or {}:
        errors += [invalid(f"{field}[{key}]", key, problem) for problem in config_key(key)]


def validate_config_map(config_map: Object, old: Object | None) -> Errors:
    errors: Errors = []
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    check_keys(config_map, "data", errors)
    check_keys(config_map, "binaryData", errors)
    for key in sorted(data.keys() & binary.keys()):
        detail = "duplicate of key present in binaryData"
        errors.append(invalid(f"data[{key}]", key, detail))
    size = sum(len(value.encode()) for value in data.values()) + sum(_decoded_size(value) for value in binary.values())
    if size > MAX_DATA_BYTES:
        errors.append(too_long("", MAX_DATA_BYTES))
    return errors


def _decoded_size(base64_text: str) -> int:
    return len(base64_text) * 3 // 4 - base64_text[-2:].count("=")


def validate_frozen(new: Object, old: Object, *fields: str) -> Errors:
    """What is marked immutable stays, and stays marked."""
    if not old.get("immutable"):
        return []
    errors = [forbidden("immutable", FROZEN)] if not new.get("immutable") else []
    return errors + [forbidden(field, FROZEN) for field in fields if (new.get(field) or {}) != (old.get(field) or {})]


def validate_config_map_update(new: Object, old: Object, subresource: str) -> Errors:
    return validate_frozen(new, old, "data", "binaryData")


SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
"""The keys that a secret of each type must have."""
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"


def validate_secret(secret: Object, old: Object | None) -> Errors:
    errors: Errors = []
    data, kind = secret.get("data") or {}, secret.get("type")
    check_keys(secret, "data", errors)
    if sum(_decoded_size(value) for value in data.values()) > MAX_DATA_BYTES:
        errors.append(too_long("data", MAX_DATA_BYTES))
    errors += [required(f"data[{key}]") for key in SECRET_KEYS.get(kind or "", ()) if key not in data]
    annotations = secret["metadata"].get("annotations") or {}
    if kind == "kubernetes.io/service-account-token" and not annotations.get(SERVICE_ACCOUNT_NAME):
        errors.append(required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]"))
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        errors += [required("data[username]"), required("data[password]")]
    return errors


def validate_secret_update(new: Object, old: Object, subresource: str) -> Errors:
    return [*immutable(new, old, "type"), *validate_frozen(new, old, "data")]


def validate_namespace(namespace: Object, old: Object | None) -> Errors:
    errors: Errors = []
    for finalizer in (namespace.get("spec") or {}).get("finalizers") or ():
        errors += [invalid("spec.finalizers", finalizer, problem) for problem in qualified_name(finalizer)]
    return errors


def unique_taints(spec: Any, path: str, errors: Errors) -> None:
    seen = set()
    for i, taint in enumerate(spec.get("taints") or ()):
        key = (taint.get("key"), taint.get("effect"))
        if key in seen:
            detail = "taints must be unique by key and effect pair"
            errors.append(invalid(f"{path}.taints[{i}]", taint, detail))
        seen.add(key)


NODE = compile_rules(
    {
        "spec": {
            "": unique_taints,
            "taints[]": {
                "key": (REQUIRED, valid(qualified_name)),
                "effect": (REQUIRED, one_of(*EFFECTS)),
            },
            "podCIDRs[]": valid(cidr),
        }
    },
    root=True,
)


def validate_node_update(new: Object, old: Object, subresource: str) -> Errors:
    """The pod ranges are given once."""
    before, now = (old.get("spec") or {}).get("podCIDRs"), (new.get("spec") or {}).get("podCIDRs")
    if before and now != before:
        return [forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')]
    return []


def role_rule(rule: Any, path: str, errors: Errors) -> None:
    """A rule is about resources or about URLs, never both, and always says which verbs."""
    if not rule.get("verbs"):
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    if rule.get("nonResourceURLs"):
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
        return
    if not rule.get("apiGroups"):
        detail = "resource rules must supply at least one api group"
        errors.append(required(f"{path}.apiGroups", detail))
    if not rule.get("resources"):
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))


def namespaced_rule(rule: Any, path: str, errors: Errors) -> None:
    if rule.get("nonResourceURLs"):
        detail = "namespaced rules cannot apply to non-resource URLs"
        errors.append(invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))


ROLE = compile_rules({"rules[]": {"": (namespaced_rule, role_rule)}}, root=True)
CLUSTER_ROLE = compile_rules({"rules[]": {"": role_rule}}, root=True)

RBAC_GROUP = "rbac.authorization.k8s.io"
SUBJECT_GROUPS = {"ServiceAccount": "", "User": RBAC_GROUP, "Group": RBAC_GROUP}


def validate_binding(binding: Object, old: Object | None) -> Errors:
    """Of a role, or of a cluster role; a ClusterRoleBinding has no namespace of its own to fall back on."""
    errors: Errors = []
    role = binding.get("roleRef") or {}
    kinds = ("ClusterRole",) if binding.get("kind") == "ClusterRoleBinding" else ("Role", "ClusterRole")
    if role.get("apiGroup") != RBAC_GROUP:
        errors.append(not_supported("roleRef.apiGroup", role.get("apiGroup") or "", (RBAC_GROUP,)))
    if role.get("kind") not in kinds:
        errors.append(not_supported("roleRef.kind", role.get("kind") or "", kinds))
    if not role.get("name"):
        errors.append(required("roleRef.name"))
    else:
        errors += [invalid("roleRef.name", role["name"], problem) for problem in path_segment(role["name"])]
    for i, subject in enumerate(binding.get("subjects") or ()):
        check_subject(subject, f"subjects[{i}]", errors)
    return errors


def check_subject(subject: Object, path: str, errors: Errors) -> None:
    kind = subject.get("kind") or ""
    if not subject.get("name"):
        errors.append(required(f"{path}.name"))
    if kind not in SUBJECT_GROUPS:
        errors.append(not_supported(f"{path}.kind", kind, SUBJECT_GROUPS))
        return
    if (subject.get("apiGroup") or "") != SUBJECT_GROUPS[kind]:
        errors.append(not_supported(f"{path}.apiGroup", subject.get("apiGroup") or "", (SUBJECT_GROUPS[kind],)))
    if kind == "ServiceAccount":
        if subject.get("name"):
            errors += [invalid(f"{path}.name", subject["name"], p) for p in dns_subdomain(subject["name"])]
        if not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))


def validate_binding_update(new: Object, old: Object, subresource: str) -> Errors:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


LEASE = compile_rules(
    {
        "spec": {
            "leaseDurationSeconds": above_zero,
            "leaseTransitions": not_negative,
            "strategy": one_of("OldestEmulationVersion"),
        }
    },
    root=True,
)


def quantity_map(amounts: Any, path: str, errors: Errors) -> None:
    quantities(amounts, path, errors)


RESOURCE_QUOTA = compile_rules({"spec": {"hard": quantity_map}}, root=True)

LIMIT_ORDER = (
    ("min", "max", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "default request value {} is greater than default limit value {}"),
    ("default", "max", "default value {} is greater than max value {}"),
    ("min", "default", "min value {} is greater than default value {}"),
)
"""Pairs of amounts of which the first may not exceed the second."""


def limit_item(item: Any, path: str, errors: Errors) -> None:
    before = len(errors)
    for field in ("min", "max", "default", "defaultRequest"):
        quantities(item.get(field) or {}, f"{path}.{field}", errors)
    if len(errors) > before:
        return
    for low, high, sentence in LIMIT_ORDER:
        lows, highs = item.get(low) or {}, item.get(high) or {}
        for name in sorted(lows.keys() & highs.keys()):
            if parse_quantity(lows[name]) > parse_quantity(highs[name]):
                detail = sentence.format(lows[name], highs[name])
                errors.append(invalid(f"{path}.{low}[{name}]", lows[name], detail))


LIMIT_RANGE = compile_rules(
    {"spec": {"limits[]": {"type": REQUIRED, "": limit_item}}},
    root=True,
)

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def validate_priority_class(priority_class: Object, old: Object | None) -> Errors:
    errors: Errors = []
    name, value = priority_class["metadata"].get("name") or "", priority_class.get("value") or 0
    if name.startswith(SYSTEM_PREFIX):
        if SYSTEM_PRIORITIES.get(name) != value:
            detail = (
                f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: "
                f"{name} is not a known system priority class"
            )
            errors.append(forbidden("metadata.name", detail))
    elif value > HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(forbidden("value", detail))
    if priority_class.get("preemptionPolicy") not in ("Never", "PreemptLowerPriority"):
        supported = ("Never", "PreemptLowerPriority")
        errors.append(not_supported("preemptionPolicy", priority_class.get("preemptionPolicy"), supported))
    return errors


def validate_priority_class_update(new: Object, old: Object, subresource: str) -> Errors:
    errors = []
    if new.get("value") != old.get("value"):
        errors.append(forbidden("value", "may not be changed in an update."))
    return errors + immutable(new, old, "preemptionPolicy")


MIN_CERTIFICATE_SECONDS = 600


def validate_certificate_request(request: Object, old: Object | None) -> Errors:
    errors: Errors = []
    spec = request.get("spec") or {}
    if not spec.get("usages"):
        errors.append(required("spec.usages", "usages must not be empty"))
    if not spec.get("request"):
        errors.append(invalid("spec.request", spec.get("request") or "", "PEM block type must be CERTIFICATE REQUEST"))
    elif b"-----BEGIN CERTIFICATE REQUEST-----" not in b64decode(spec["request"], validate=False):
        errors.append(invalid("spec.request", spec["request"], "PEM block type must be CERTIFICATE REQUEST"))
    signer = spec.get("signerName")
    if not signer:
        errors.append(required("spec.signerName"))
    elif "/" not in signer:
        errors.append(
            invalid(
                "spec.signerName",
                signer,
                "must be a fully qualified domain and path of the form 'example.com/signer-name'",
            )
        )
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < MIN_CERTIFICATE_SECONDS:
        detail = f"may not specify a duration less than {MIN_CERTIFICATE_SECONDS} seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", seconds, detail))
    return errors


def validate_certificate_request_update(new: Object, old: Object, subresource: str) -> Errors:
    return [] if new.get("spec") == old.get("spec") else [invalid("spec", new.get("spec"), IMMUTABLE)]


def validate_custom_kind(definition: Object, old: Object | None) -> Errors:
    """A CustomResourceDefinition's names; its schemas are read where the kind is made."""
    errors: Errors = []
    spec = definition.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or ()
    expected = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if definition["metadata"].get("name") != expected:
        detail = 'must be spec.names.plural+"."+spec.group'
        errors.append(invalid("metadata.name", definition["metadata"].get("name"), detail))
    if not spec.get("group"):
        errors.append(required("spec.group"))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        errors.append(not_supported("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced")))
    errors += [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    if not versions:
        errors.append(required("spec.versions"))
    if sum(1 for version in versions if version.get("storage")) != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(invalid("spec.versions", versions, detail))
    return errors


RUNTIME_CLASS = compile_rules({"handler": (REQUIRED, valid(dns_label))}, root=True)
