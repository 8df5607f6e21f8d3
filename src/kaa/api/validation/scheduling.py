"""Rules for groups of pods that are scheduled together."""

from kaa.api.objects import Object
from kaa.api.validation.fields import IMMUTABLE, invalid, required
from kaa.api.validation.names import dns_label
from kaa.api.validation.walker import REQUIRED, Errors, compile_rules, valid

MAX_TEMPLATES = 8


def check_policy(policy: Object, path: str, errors: Errors) -> None:
    """One of the two, and no more."""
    chosen = [name for name in ("basic", "gang") if policy.get(name) is not None]
    if not chosen:
        errors.append(required(path, "must specify one of: `basic`, `gang`"))
    elif len(chosen) > 1:
        shown = f"{{{', '.join(chosen)}}}"
        errors.append(invalid(path, shown, "must specify exactly one of: `basic`, `gang`"))
    elif chosen == ["gang"] and (count := policy["gang"].get("minCount", 0)) < 1:
        errors.append(invalid(f"{path}.gang.minCount", count, "must be greater than or equal to 1"))


_pod_group = compile_rules({"spec": {"schedulingPolicy": {"": check_policy}}}, root=True)
_workload = compile_rules(
    {
        "spec": {
            "podGroupTemplates[]": {
                "name": (REQUIRED, valid(dns_label)),
                "schedulingPolicy": {"": check_policy},
            },
        }
    },
    root=True,
)


def validate_pod_group(group: Object, old: Object | None) -> Errors:
    errors: Errors = []
    _pod_group(group, "", errors)
    return errors


def validate_pod_group_update(new: Object, old: Object, subresource: str) -> Errors:
    """A gang may change in size; nothing else of a group does."""
    if subresource:
        return []
    if _without_size(new) != _without_size(old):
        return [invalid("spec", new["spec"], IMMUTABLE)]
    return []


def _without_size(group: Object) -> Object:
    spec: Object = group["spec"]
    policy = {name: {} if name == "gang" else value for name, value in spec["schedulingPolicy"].items()}
    return {**spec, "schedulingPolicy": policy}


def validate_workload(workload: Object, old: Object | None) -> Errors:
    errors: Errors = []
    templates = workload["spec"].get("podGroupTemplates") or []
    if len(templates) > MAX_TEMPLATES:
        errors.append(invalid("spec.podGroupTemplates", len(templates), f"must have at most {MAX_TEMPLATES} items"))
    _workload(workload, "", errors)
    return errors
