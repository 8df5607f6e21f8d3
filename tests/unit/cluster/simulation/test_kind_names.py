"""Kinds by the names that kubectl takes."""

import pytest

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.cluster.simulation.kind_names import resource_named

CATALOG = builtin_catalog()


@pytest.mark.parametrize(
    ("name", "api_version", "kind"),
    [
        ("Pod", "v1", "Pod"),
        ("pods", "v1", "Pod"),
        ("pod", "v1", "Pod"),
        ("po", "v1", "Pod"),
        ("Deployment", "apps/v1", "Deployment"),
        ("deploy", "apps/v1", "Deployment"),
        ("deployments.apps", "apps/v1", "Deployment"),
        ("deployment.v1.apps", "apps/v1", "Deployment"),
        ("apps/v1/Deployment", "apps/v1", "Deployment"),
        ("v1/Event", "v1", "Event"),
        ("events", "v1", "Event"),
        ("events.events.k8s.io", "events.k8s.io/v1", "Event"),
        ("hpa", "autoscaling/v2", "HorizontalPodAutoscaler"),
        ("horizontalpodautoscalers.v1.autoscaling", "autoscaling/v1", "HorizontalPodAutoscaler"),
        ("crd", "apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ],
)
def test_names(name: str, api_version: str, kind: str) -> None:
    """Kind, plural, singular, short name; with a group, a version, or both where several kinds have the name."""
    resource = resource_named(CATALOG, name)
    assert (resource.api_version, resource.kind) == (api_version, kind)


@pytest.mark.parametrize("name", ["", "widgets", "deployments.batch", "deployments.v2.apps", "apps/v2/Deployment"])
def test_no_such_kind(name: str) -> None:
    """kubectl's words."""
    with pytest.raises(APIError, match="the server doesn't have a resource type") as error:
        resource_named(CATALOG, name)
    assert error.value.reason == "NotFound"
