"""TaintNodesByCondition: a node is born not ready, so that nothing is scheduled there before its kubelet says so."""

from kaa.server.admission.plugin import Context, Plugin, spec_of
from kaa.server.request import AdmissionRequest

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


async def taint_new_node(request: AdmissionRequest, context: Context) -> None:
    spec = spec_of(request)
    taints = spec.get("taints") or []
    if not any((t.get("key"), t.get("effect")) == (NOT_READY["key"], NOT_READY["effect"]) for t in taints):
        spec["taints"] = [*taints, dict(NOT_READY)]


TAINT_NODES_BY_CONDITION = Plugin(name="TaintNodesByCondition", kinds=frozenset({("", "Node")}), mutate=taint_new_node)
