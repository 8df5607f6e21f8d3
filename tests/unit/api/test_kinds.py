"""The built-in rows against the published list of v1.37's resources."""

import importlib
import pkgutil
from collections.abc import Iterator

import lightkube.resources
import pytest
from lightkube.core.resource import GlobalResource, GlobalSubResource

from kaa.api.kinds import builtin_catalog

VERBS = {"post": "create", "put": "update"}

Served = tuple[str, str, str, str]  # group, version, plural, subresource ("" for the resource itself)

CONNECT = {
    ("", "v1", "pods", "attach"),
    ("", "v1", "pods", "exec"),
    ("", "v1", "pods", "portforward"),
    ("", "v1", "pods", "proxy"),
    ("", "v1", "services", "proxy"),
    ("", "v1", "nodes", "proxy"),
}
"""What OpenAPI describes as connections, which the published list leaves out."""

BETA = {("scheduling.k8s.io", "v1beta1")}
"""Versions that upstream serves only when told to, and we always do: gangs need them."""


def published() -> Iterator[tuple[Served, str, frozenset[str], bool]]:
    """Each resource and subresource of the GA versions and those of BETA: where, the body's kind, verbs, namespaced."""
    for module in pkgutil.iter_modules(lightkube.resources.__path__):
        contents = vars(importlib.import_module(f"lightkube.resources.{module.name}"))
        for cls in contents.values():
            info = getattr(cls, "_api_info", None)
            if info is None:
                continue
            home = info.parent or info.resource
            is_beta = "alpha" in home.version or "beta" in home.version
            if is_beta and (home.group, home.version) not in BETA:
                continue
            verbs = frozenset(VERBS.get(v, v) for v in info.verbs if not v.startswith("global_"))
            namespaced = not issubclass(cls, (GlobalResource, GlobalSubResource))
            yield (home.group, home.version, info.plural, info.action or ""), info.resource.kind, verbs, namespaced


def served() -> Iterator[tuple[Served, str, frozenset[str], bool]]:
    for row in builtin_catalog():
        yield (row.group, row.version, row.name, ""), row.kind, frozenset(row.verbs), row.namespaced
        for sub in row.subresources:
            where = (row.group, row.version, row.name, sub.name)
            yield where, sub.kind or row.kind, frozenset(sub.verbs), row.namespaced


def test_exactly_the_published_resources_are_served() -> None:
    """No resource of such a version is missing, none is invented, and kind, verbs and scope agree."""
    expected = {where: rest for where, *rest in published()}
    actual = {where: rest for where, *rest in served()}
    assert actual.keys() - CONNECT == expected.keys()
    # OpenAPI gives every list a watch parameter; a real server's discovery offers no watch of component statuses.
    expected["", "v1", "componentstatuses", ""][1] = frozenset({"get", "list"})
    assert {where: actual[where] for where in expected} == expected


@pytest.mark.parametrize(
    ("short", "kind"),
    [("po", "Pod"), ("deploy", "Deployment"), ("svc", "Service"), ("crds", "CustomResourceDefinition")],
)
def test_short_names(short: str, kind: str) -> None:
    """The abbreviations that people type."""
    assert {row.kind for row in builtin_catalog() if short in row.short_names} == {kind}


def test_get_all_lists_the_workloads() -> None:
    """`kubectl get all` means the kinds of the category `all`, no more."""
    kinds = {row.kind for row in builtin_catalog() if "all" in row.categories}
    workloads = {"Pod", "ReplicationController", "Service", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"}
    assert kinds == workloads | {"HorizontalPodAutoscaler", "CronJob", "Job"}


def test_a_bare_kind_means_the_core_event_and_the_preferred_autoscaler() -> None:
    """The order of the list decides what a name without a group stands for."""
    catalog = builtin_catalog()
    assert catalog.named("Event").group == ""
    assert catalog.named("HorizontalPodAutoscaler").version == "v2"
    assert catalog.versions("autoscaling") == ["v2", "v1"]
