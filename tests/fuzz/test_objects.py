"""Objects of every kind with values that nobody wants: refused or taken, and shown in every form if taken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.kinds import builtin_catalog
from kaa.api.resource import Resource
from kaa.api.schema import builtin_schema
from tests.fuzz.hostile import BOUNDED, objects_of
from tests.fuzz.sending import Victim, check

FORMS = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
)
KINDS = [r for r in builtin_catalog() if "create" in r.verbs]


def name_of(resource: Resource) -> str:
    return f"{resource.api_version}/{resource.kind}"


@pytest.mark.parametrize("resource", KINDS, ids=name_of)
@BOUNDED
@given(data=st.data())
def test_odd_objects(victim: Victim, resource: Resource, data: st.DataObject) -> None:
    """Whatever has the right types gets an answer from the kind's defaults, rules, columns and encodings."""
    definition = builtin_schema().for_kind(resource.api_version, resource.kind)
    assert definition is not None
    body: dict[str, Any] = data.draw(objects_of(definition))
    body |= {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "odd"}}
    collection = resource.path("default")
    answer = victim.ask("POST", collection, body)
    check(answer)
    if answer.status != 201 or "get" not in resource.verbs:
        return
    path = resource.path("default", "odd")
    for accept in FORMS:
        assert victim.ask("GET", path, accept=accept).status == 200
        assert victim.ask("GET", collection, accept=accept).status == 200
    stored = victim.ask("GET", path)
    check(victim.ask("PUT", path, stored.body))
    check(victim.ask("DELETE", path, query=[("gracePeriodSeconds", "0")]))
    if victim.ask("GET", path).status == 200:  # it has finalizers
        released = victim.ask(
            "PATCH",
            path,
            {"metadata": {"finalizers": None}, "spec": {"finalizers": None}},
            content_type="application/merge-patch+json",
        )
        check(released)
