"""Rules for APIServices and StorageVersionMigrations: in the words of a real v1.37 server."""

from typing import Any

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object
from kaa.api.validation import validate
from kaa.api.validation.names import NOT_A_1035_LABEL

CATALOG = builtin_catalog()
LOCAL = {"group": "a.example", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
REMOTE = LOCAL | {"service": {"name": "a", "namespace": "b"}}


def problems(
    kind: str, new: Object, old: Object | None = None, *, name: str = "v1.a.example", via: str = ""
) -> list[str]:
    resource = CATALOG.named(kind)
    objects = [copy_object({"metadata": {"name": name}, **obj}) for obj in (new, old) if obj is not None]
    for obj in objects:
        if resource.defaults is not None:
            resource.defaults(obj)
    return [str(error) for error in validate(resource, objects[0], objects[1] if old is not None else None, via)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (LOCAL, []),
        (REMOTE, []),
        (
            REMOTE | {"version": "v2"},
            ['metadata.name: Invalid value: "v1.a.example": must be `spec.version+"."+spec.group`: "v2.a.example"'],
        ),
        (
            REMOTE | {"groupPriorityMinimum": 20001, "versionPriority": 0},
            [
                "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            ],
        ),
        (
            LOCAL | {"caBundle": "YWJj", "insecureSkipTLSVerify": True},
            [
                'spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle',
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ],
        ),
        (
            REMOTE | {"caBundle": "YWJj", "insecureSkipTLSVerify": True},
            ["spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"],
        ),
        (
            LOCAL | {"service": {"port": 70000}},
            [
                "spec.service.namespace: Required value",
                "spec.service.name: Required value",
                "spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
            ],
        ),
    ],
)
def test_an_api_service_says_who_answers(spec: Object, expected: list[str]) -> None:
    """Requests of its group go where it says, trusted as it says: it must say both, and be found by its name."""
    assert problems("APIService", {"spec": spec}) == expected


def test_only_the_oldest_version_has_no_group() -> None:
    """Its APIService is named with a dot at the end."""
    assert problems("APIService", {"spec": LOCAL | {"group": ""}}, name="v1.") == []
    assert problems("APIService", {"spec": LOCAL | {"group": "", "version": "v2"}}, name="v2.") == [
        "spec.group: Required value: only v1 may have an empty group and it better be legacy kube"
    ]


def migration(*true: str, **status: Any) -> Object:
    since = "2030-01-01T00:00:00Z"
    conditions = [{"type": kind, "status": "True", "reason": "R", "lastTransitionTime": since} for kind in true]
    resource = {"group": "apps", "resource": "deployments"}
    return {"spec": {"resource": resource}, "status": {"conditions": conditions, **status}}


def test_a_migration_names_its_resource() -> None:
    """By its plural name, and never another once it was made."""
    kind = "StorageVersionMigration"
    assert problems(kind, {}) == ["spec.resource.resource: Required value: resource is required to be set"]
    assert problems(kind, {"spec": {"resource": {"resource": "Pods"}}}) == [
        f'spec.resource.resource: Invalid value: "Pods": {NOT_A_1035_LABEL}'
    ]
    other = {"spec": {"resource": {"resource": "pods"}}}
    assert [text.split(":")[0] for text in problems(kind, other, migration())] == ["spec"]


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (migration("Succeeded", resourceVersion="5"), migration(resourceVersion="5"), []),
        (migration(resourceVersion="6"), migration(resourceVersion="5"), ["field is immutable"]),
        (
            migration("Succeeded", "Failed"),
            migration(),
            ["Both success and failed conditions cannot be true at the same time"],
        ),
        (migration(), migration("Failed"), ["Failed condition cannot be set to false once it is true"]),
    ],
)
def test_a_migration_ends_once(new: Object, old: Object, expected: list[str]) -> None:
    """Whoever waits for one relies on that its end, and the version that it began at, stay."""
    found = problems("StorageVersionMigration", new, old, via="status")
    assert [text.rpartition(": ")[2] for text in found] == expected
