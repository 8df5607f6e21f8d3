"""Namespaces and volumes: the phase each begins in, and the finalizer that keeps a namespace until it is empty."""

from kaa.api.objects import Object

FINALIZER = "kubernetes"


def prepare_namespace_for_create(namespace: Object) -> None:
    finalizers = namespace["spec"].get("finalizers") or []
    if FINALIZER not in finalizers:
        namespace["spec"]["finalizers"] = [*finalizers, FINALIZER]
    namespace["status"] = {"phase": "Active"}


def prepare_namespace_for_update(new: Object, old: Object) -> None:
    """Finalizers change only through the `finalize` subresource."""
    new["spec"] = (new.get("spec") or {}) | {"finalizers": (old.get("spec") or {}).get("finalizers") or []}


def begin_pending(volume_or_claim: Object) -> None:
    """Nothing is bound before a controller has bound it."""
    volume_or_claim["status"] = {"phase": "Pending"}
