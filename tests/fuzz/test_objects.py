"""Objects of every kind with values that nobody wants: refused or taken, and shown in every form if taken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.kinds import builtin_catalog
from kaa.api.resource import Resource
from kaa.api.schema import builtin_schema
from tests.fuzz.hostile import BOUNDED, ODD, objects_of, places, replaced
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
    check(victim.apply(path, body))
    check(victim.ask("PATCH", path, body, content_type="application/merge-patch+json"))
    check(victim.ask("DELETE", path, query=[("gracePeriodSeconds", "0")]))
    if victim.ask("GET", path).status == 200:  # it has finalizers
        released = victim.ask(
            "PATCH",
            path,
            {"metadata": {"finalizers": None}, "spec": {"finalizers": None}},
            content_type="application/merge-patch+json",
        )
        check(released)


@pytest.mark.parametrize("resource", [r for r in KINDS if "patch" in r.verbs], ids=name_of)
@BOUNDED
@given(data=st.data())
def test_values_of_another_type(victim: Victim, resource: Resource, data: st.DataObject) -> None:
    """What does not fit its type is refused with a 4xx by every verb that takes an object."""
    definition = builtin_schema().for_kind(resource.api_version, resource.kind)
    assert definition is not None
    good: dict[str, Any] = data.draw(objects_of(definition))
    good |= {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "fit", "labels": {}}}
    paths = [path for path in places(good) if path[0] not in ("apiVersion", "kind")]
    bad = replaced(good, data.draw(st.sampled_from(paths)), data.draw(ODD))
    collection, path = resource.path("default"), resource.path("default", "fit")
    check(victim.ask("POST", collection, bad))
    for _ in ("made", "changed"):
        check(victim.apply(path, bad))
    check(victim.ask("PUT", path, bad))
    for content_type in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
        check(victim.ask("PATCH", path, bad, content_type=content_type))
    for subresource in resource.subresources:
        check(victim.ask("PATCH", f"{path}/{subresource.name}", bad, content_type="application/merge-patch+json"))
        check(victim.apply(f"{path}/{subresource.name}", bad))
    check(victim.ask("DELETE", path, bad, query=[("gracePeriodSeconds", "0")]))
    check(victim.ask("DELETE", path, query=[("gracePeriodSeconds", "0")]))
