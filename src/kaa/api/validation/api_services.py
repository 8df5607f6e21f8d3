"""Rules for APIServices, each of which says who answers for a version of a group."""

from base64 import b64decode
from typing import Any

from kaa.api.objects import Object
from kaa.api.validation.fields import invalid, required
from kaa.api.validation.names import between, dns_1035_label, dns_subdomain, path_segment
from kaa.api.validation.walker import REQUIRED, Errors, compile_rules

MAX_GROUP_PRIORITY, MAX_VERSION_PRIORITY = 20_000, 1_000
LEGACY_VERSION = "v1"
"""The one version that has no group."""


def validate_api_service(service: Object, old: Object | None) -> Errors:
    name, spec = service["metadata"].get("name") or "", service.get("spec") or {}
    wanted = f"{spec.get('version') or ''}.{spec.get('group') or ''}"
    errors: Errors = []
    if name != wanted and not path_segment(name):
        errors.append(invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    API_SERVICE_SPEC(spec, "spec", errors)
    return errors


def group_and_version(spec: Any, path: str, errors: Errors) -> None:
    group, version = spec.get("group") or "", spec.get("version") or ""
    if not group and version != LEGACY_VERSION:
        why = "only v1 may have an empty group and it better be legacy kube"
        errors.append(required(f"{path}.group", why))
    errors += [invalid(f"{path}.group", group, problem) for problem in (dns_subdomain(group) if group else ())]
    errors += [invalid(f"{path}.version", version, problem) for problem in dns_1035_label(version)]


def priorities(spec: Any, path: str, errors: Errors) -> None:
    for field, limit in (("groupPriorityMinimum", MAX_GROUP_PRIORITY), ("versionPriority", MAX_VERSION_PRIORITY)):
        given = spec.get(field) or 0
        if not 0 < given <= limit:
            errors.append(invalid(f"{path}.{field}", given, f"must be positive and less than {limit}"))


def trust(spec: Any, path: str, errors: Errors) -> None:
    """How the server that answers is known: by its authority, or not at all. The server itself needs neither."""
    bundle, insecure = spec.get("caBundle") or "", bool(spec.get("insecureSkipTLSVerify"))
    if spec.get("service") is not None:
        if bundle and insecure:
            errors.append(invalid(f"{path}.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
        return
    if bundle:
        size = f"{len(b64decode(bundle))} bytes"
        errors.append(invalid(f"{path}.caBundle", size, "local APIServices may not have a caBundle"))
    if insecure:
        why = "local APIServices may not have insecureSkipTLSVerify"
        errors.append(invalid(f"{path}.insecureSkipTLSVerify", True, why))


def service_port(port: Any, path: str, errors: Errors) -> None:
    if not 1 <= port <= 65535:
        errors.append(invalid(path, port, f"port is not valid: {between(1, 65535)}"))


API_SERVICE_SPEC = compile_rules(
    {
        "": (group_and_version, priorities, trust),
        "service": {"namespace": REQUIRED, "name": REQUIRED, "port": service_port},
    }
)
