"""DefaultIngressClass: an Ingress that names no class gets the one that is marked as default."""

from kaa.api.objects import annotations_of, name_of
from kaa.server.admission.plugin import Context, Plugin, created, spec_of
from kaa.server.request import AdmissionRequest

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
IS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"


async def choose_ingress_class(request: AdmissionRequest, context: Context) -> None:
    ingress = created(request)
    spec = spec_of(request)
    if spec.get("ingressClassName") is not None or CLASS_ANNOTATION in annotations_of(ingress):
        return
    defaults = [c for c in context.reader.list("IngressClass") if annotations_of(c).get(IS_DEFAULT) == "true"]
    if not defaults:
        return
    newest = max(str(c["metadata"].get("creationTimestamp", "")) for c in defaults)
    candidates = [c for c in defaults if str(c["metadata"].get("creationTimestamp", "")) == newest]
    spec["ingressClassName"] = min(name_of(c) for c in candidates)


DEFAULT_INGRESS_CLASS = Plugin(
    name="DefaultIngressClass",
    kinds=frozenset({("networking.k8s.io", "Ingress")}),
    mutate=choose_ingress_class,
)
