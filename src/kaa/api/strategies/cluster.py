"""Namespaces: the finalizer that keeps one until its contents are gone."""

from kaa.api.objects import Object

FINALIZER = "kubernetes"


def prepare_namespace_for_create(namespace: Object) -> None:
    finalizers = namespace["spec"].get("finalizers") or []
    if FINALIZER not in finalizers:
        namespace["spec"]["finalizers"] = [*finalizers, FINALIZER]


def prepare_namespace_for_update(new: Object, old: Object) -> None:
    """Finalizers change only through the `finalize` subresource."""
    new["spec"] = (new.get("spec") or {}) | {"finalizers": (old.get("spec") or {}).get("finalizers") or []}
