"""Objects that nobody should write: defaults, rules and columns answer for them too, and never fail."""

from datetime import UTC, datetime

import pytest

from kaa.api.decode import conform_object
from kaa.api.defaults import apply_defaults
from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object
from kaa.api.resource import Resource
from kaa.api.tables import columns_of, table
from kaa.api.validation import validate

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ROWS = list(builtin_catalog())
LABELED: Object = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}

ODD: list[Object] = [
    {},
    {"spec": {}},
    {"spec": None, "status": None},
    {"spec": {"template": None, "selector": None, "containers": None, "ports": None}},
    {
        "spec": {
            "containers": [{}],
            "ephemeralContainers": [{}],
            "ingress": [{}],
            "initContainers": [{}],
            "jobTemplate": {"spec": {}},
            "limits": [{}],
            "metrics": [{"type": "Resource"}],
            "ports": [{}],
            "rules": [{}],
            "selector": {},
            "template": {},
            "tolerations": [{}],
            "topologySpreadConstraints": [{}],
            "volumes": [{}],
        }
    },
    {
        "endpoints": [{}],
        "ports": [{}],
        "roleRef": {},
        "rules": [{}],
        "subjects": [{}],
        "subsets": [{}],
        "webhooks": [{}],
    },
    {"spec": {"template": LABELED, "selector": {"matchLabels": {"a": "b"}}}},
    {
        "spec": {
            "accessModes": [""],
            "capacity": {"storage": "1"},
            "hard": {"a": "-"},
            "metrics": [{}],
            "resources": {"requests": {"storage": "zz"}},
            "scaleTargetRef": {},
        }
    },
]


def conformed(resource: Resource, odd: Object) -> Object | None:
    """As the server has it after decoding: of the right types, with defaults. None: the decoder refuses it."""
    metadata = {"name": "x"} | ({"namespace": "default"} if resource.namespaced else {})
    body: Object = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    whole = copy_object(body | odd)
    try:
        obj = conform_object(whole, resource.api_version, resource.kind, field_validation="Ignore").object
    except APIError:
        return None
    apply_defaults(resource, obj)
    return obj


@pytest.mark.parametrize("resource", ROWS, ids=lambda row: f"{row.kind}.{row.version}.{row.group}")
def test_no_decoded_object_makes_a_rule_fail(resource: Resource) -> None:
    """An odd object gets errors, not a stack trace; one that may be stored can be listed."""
    bare = conformed(resource, {})
    assert bare is not None
    for odd in ODD:
        obj = conformed(resource, odd)
        if obj is None:
            continue
        validate(resource, bare, obj)
        if not validate(resource, obj, None):
            assert len(table(resource, [obj], NOW)["rows"][0]["cells"]) == len(columns_of(resource))
