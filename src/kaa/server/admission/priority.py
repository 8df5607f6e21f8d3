"""Priority: a pod's number and preemption policy come from its PriorityClass; one class may be the default."""

from kaa.api.objects import Object, name_of
from kaa.server.admission.plugin import CREATE, POD, UPDATE, Context, Plugin, created, refused, spec_of
from kaa.server.request import AdmissionRequest

DEFAULT_PRIORITY = 0
PREEMPT_LOWER = "PreemptLowerPriority"


async def resolve_priority(request: AdmissionRequest, context: Context) -> None:
    spec = spec_of(request)
    if request.operation == UPDATE:
        # A client that does not know the field may leave it out; it cannot change.
        old = (request.old or {}).get("spec") or {}
        for field in ("priority", "preemptionPolicy"):
            if spec.get(field) is None and old.get(field) is not None:
                spec[field] = old[field]
        return
    name = spec.get("priorityClassName", "")
    chosen = context.reader.get("PriorityClass", name) if name else _default_class(context)
    if name and chosen is None:
        raise refused(request, f"no PriorityClass with name {name} was found")
    if chosen is not None:
        spec["priorityClassName"] = name_of(chosen)
    priority = chosen["value"] if chosen else DEFAULT_PRIORITY
    if spec.get("priority") not in (None, priority):
        raise refused(
            request,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission"
            f" controller computed {priority} from the given PriorityClass name",
        )
    policy = (chosen or {}).get("preemptionPolicy") or PREEMPT_LOWER
    if spec.get("preemptionPolicy") not in (None, policy):
        raise refused(
            request,
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec;"
            f" priority admission controller computed {policy} from the given PriorityClass name",
        )
    spec["priority"], spec["preemptionPolicy"] = priority, policy


def _default_class(context: Context) -> Object | None:
    """If there are several all the same, the one with the lowest value."""
    defaults = [c for c in context.reader.list("PriorityClass") if c.get("globalDefault")]
    return min(defaults, key=lambda c: int(c["value"]), default=None)


async def check_default_class(request: AdmissionRequest, context: Context) -> None:
    chosen = created(request)
    if not chosen.get("globalDefault"):
        return
    default = _default_class(context)
    if default is not None and name_of(default) != name_of(chosen):
        raise refused(
            request,
            f"PriorityClass {name_of(default)} is already marked as default. Only one default can exist",
        )


WRITES = frozenset({CREATE, UPDATE})
PRIORITY = (
    Plugin(name="Priority", kinds=POD, operations=WRITES, mutate=resolve_priority),
    Plugin(
        name="Priority",
        kinds=frozenset({("scheduling.k8s.io", "PriorityClass")}),
        operations=WRITES,
        validate=check_default_class,
    ),
)
