"""RuntimeClass: a pod that names one gets what it costs, and where it can run, from it."""

from kaa.api.objects import Object
from kaa.server.admission.plugin import POD, Context, Plugin, refused, spec_of
from kaa.server.request import AdmissionRequest


async def apply_runtime_class(request: AdmissionRequest, context: Context) -> None:
    spec = spec_of(request)
    name = spec.get("runtimeClassName")
    if not name:
        return
    chosen = context.reader.get("RuntimeClass", name)
    if chosen is None:
        raise refused(request, f'pod rejected: RuntimeClass "{name}" not found')
    overhead = (chosen.get("overhead") or {}).get("podFixed")
    if overhead:
        if spec.get("overhead") not in (None, overhead):
            raise refused(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        spec["overhead"] = dict(overhead)
    _apply_scheduling(request, spec, chosen.get("scheduling") or {})


def _apply_scheduling(request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.setdefault(key, value) != value:
            ours, theirs = f"pod.spec.nodeSelector[{key}]", f"runtimeClass.scheduling.nodeSelector[{key}]"
            raise refused(request, f"conflict: {theirs} = {value}; {ours} = {selector[key]}")
    if selector:
        spec["nodeSelector"] = selector
    tolerations = spec.get("tolerations") or []
    added = [t for t in scheduling.get("tolerations") or () if t not in tolerations]
    if added:
        spec["tolerations"] = [*tolerations, *added]


async def check_overhead(request: AdmissionRequest, context: Context) -> None:
    spec = spec_of(request)
    if spec.get("overhead") and not spec.get("runtimeClassName"):
        raise refused(request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")


RUNTIME_CLASS = Plugin(name="RuntimeClass", kinds=POD, mutate=apply_runtime_class, validate=check_overhead)
