"""Rules for CSI's kinds and for webhook configurations: in the words of a real v1.37 server."""

from typing import Any

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object
from kaa.api.validation import validate

CATALOG = builtin_catalog()


def problems(kind: str, new: Object, old: Object | None = None) -> list[str]:
    resource = CATALOG.named(kind)
    objects = []
    for obj in (new, old):
        made = copy_object({"metadata": {"name": "d.example"}, **obj}) if obj is not None else None
        if made is not None and resource.namespaced:
            made["metadata"]["namespace"] = "a"
        if made is not None and resource.defaults is not None:
            resource.defaults(made)
        objects.append(made)
    assert objects[0] is not None
    return [str(error) for error in validate(resource, objects[0], objects[1])]


def webhook(**fields: Any) -> Object:
    basis = {
        "name": "a.b.c",
        "clientConfig": {"url": "https://h.example/x"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"webhooks": [basis | fields]}


def ruled(**fields: Any) -> Object:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    return webhook(rules=[rule | fields])


HOOK, CONFIG, RULE = "webhooks[0]", "webhooks[0].clientConfig", "webhooks[0].rules[0]"


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        ("CSIDriver", {"spec": {}}, []),
        (
            "CSIDriver",
            {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]}},
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than "
                "10 minutes",
                'spec.tokenRequests[1].audience: Duplicate value: "a"',
            ],
        ),
        (
            "CSIDriver",
            {"spec": {"volumeLifecycleModes": ["x"]}},
            ['spec.volumeLifecycleModes: Unsupported value: "x": supported values: "Persistent", "Ephemeral"'],
        ),
        ("CSINode", {"spec": {"drivers": [{"name": "A.example", "nodeID": "x", "topologyKeys": ["a/b"]}]}}, []),
        (
            "CSINode",
            {"spec": {"drivers": [{"name": ""}, {"name": "a", "nodeID": "x"}, {"name": "a", "nodeID": "y"}]}},
            [
                "spec.drivers[0].name: Required value",
                "spec.drivers[0].nodeID: Required value",
                'spec.drivers[2].name: Duplicate value: "a"',
            ],
        ),
        ("CSIStorageCapacity", {"storageClassName": "a", "capacity": "1Gi"}, []),
        (
            "CSIStorageCapacity",
            {"storageClassName": "a", "capacity": "-1"},
            ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            "VolumeAttachment",
            {"spec": {"attacher": "", "nodeName": "n", "source": {}}},
            [
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
                "spec.attacher: Required value",
            ],
        ),
        (
            "VolumeAttributesClass",
            {},
            ["driverName: Required value", "parameters: Required value: must contain at least one key/value pair"],
        ),
        ("ValidatingWebhookConfiguration", webhook(), []),
        ("MutatingWebhookConfiguration", ruled(), []),
        ("ValidatingWebhookConfiguration", webhook(name=""), [f"{HOOK}.name: Required value"]),
        (
            "ValidatingWebhookConfiguration",
            webhook(name="a.b"),
            [f'{HOOK}.name: Invalid value: "a.b": should be a domain with at least three segments separated by dots'],
        ),
        (
            "ValidatingWebhookConfiguration",
            webhook(clientConfig={}),
            [f"{CONFIG}: Required value: exactly one of url or service is required"],
        ),
        (
            "ValidatingWebhookConfiguration",
            webhook(clientConfig={"url": "http://u@a?b#c"}),
            [
                f"{CONFIG}.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
                "https://host[/path]",
                f'{CONFIG}.url: Invalid value: "u": user information is not permitted in the URL',
                f'{CONFIG}.url: Invalid value: "c": fragments are not permitted in the URL',
                f'{CONFIG}.url: Invalid value: "b": query parameters are not permitted in the URL',
            ],
        ),
        (
            "ValidatingWebhookConfiguration",
            webhook(clientConfig={"service": {"name": "a", "namespace": "b", "path": "/a//b"}}),
            [f'{CONFIG}.service.path: Invalid value: "/a//b": segment[1] may not be empty'],
        ),
        (
            "MutatingWebhookConfiguration",
            ruled(operations=["*", "CREATE"], resources=["a/*", "a/b"]),
            [
                f'{RULE}.operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other '
                "operations",
                f"{RULE}.resources[1]: Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b",
            ],
        ),
        (
            "MutatingWebhookConfiguration",
            webhook(sideEffects="Some", timeoutSeconds=31, reinvocationPolicy="x", admissionReviewVersions=["v9"]),
            [
                f'{HOOK}.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
                f"{HOOK}.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                f'{HOOK}.reinvocationPolicy: Unsupported value: "x": supported values: "IfNeeded", "Never"',
                f'{HOOK}.admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
            ],
        ),
    ],
)
def test_rules(kind: str, obj: Object, expected: list[str]) -> None:
    """Every violated rule at once, in upstream's order."""
    assert problems(kind, obj) == expected


@pytest.mark.parametrize(
    ("kind", "old", "new", "field"),
    [
        ("CSIDriver", {"spec": {}}, {"spec": {"attachRequired": False}}, "spec.attachedRequired"),
        (
            "CSINode",
            {"spec": {"drivers": [{"name": "a", "nodeID": "x"}]}},
            {"spec": {"drivers": [{"name": "a", "nodeID": "y"}]}},
            "spec.drivers",
        ),
        ("CSIStorageCapacity", {"storageClassName": "a"}, {"storageClassName": "b"}, "storageClassName"),
        (
            "VolumeAttributesClass",
            {"driverName": "a", "parameters": {"a": "b"}},
            {"driverName": "a", "parameters": {"a": "c"}},
            "parameters",
        ),
    ],
)
def test_what_never_changes(kind: str, old: Object, new: Object, field: str) -> None:
    """And what stays the same is no error."""
    (error,) = problems(kind, new, old)
    assert error.startswith(f"{field}: ")
    assert problems(kind, old, old) == []
