"""NamespaceLifecycle: nothing is created in a namespace that is absent or ending, and three namespaces never end."""

from kaa.api.errors import Cause, not_found
from kaa.api.objects import is_being_deleted
from kaa.server.admission.plugin import CREATE, DELETE, Context, Plugin, refused
from kaa.server.request import AdmissionRequest

IMMORTAL = frozenset({"default", "kube-public", "kube-system"})

CACHE_LAG_SECONDS = 0.05
"""How long a namespace that isn't in the cache may still be on its way there."""


async def check_namespace(request: AdmissionRequest, context: Context) -> None:
    name = request.attributes.namespace
    if request.resource.kind == "Namespace":
        if request.operation == DELETE and request.attributes.name in IMMORTAL:
            raise refused(request, "this namespace may not be deleted")
        return
    if request.operation == DELETE or not request.resource.namespaced:
        return
    namespace = context.reader.get("Namespace", name)
    if namespace is None:
        await context.clock.sleep(CACHE_LAG_SECONDS)
        namespace = context.reader.get("Namespace", name)
    if namespace is None:
        raise not_found("namespaces", "", name)
    if is_being_deleted(namespace):
        cause = Cause("NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace")
        why = f"unable to create new content in namespace {name} because it is being terminated"
        raise refused(request, why, cause=cause)


NAMESPACE_LIFECYCLE = Plugin(name="NamespaceLifecycle", operations=frozenset({CREATE, DELETE}), mutate=check_namespace)
