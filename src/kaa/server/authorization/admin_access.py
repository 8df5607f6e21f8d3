"""Admin access to devices (KEP-5018): claims may ask for it only in namespaces that an administrator has labelled.

A claim with `adminAccess` gets devices that are in use by others, so whoever may create claims must not have it
merely for asking.
"""

from collections.abc import Iterator

from kaa.api.errors import FieldError, invalid
from kaa.api.objects import Object, labels_of
from kaa.server.admission.plugin import name_in
from kaa.server.chain import Reader
from kaa.server.request import AdmissionRequest

LABEL = "resource.kubernetes.io/admin-access"
CLAIM, TEMPLATE = "ResourceClaim", "ResourceClaimTemplate"


class AdminAccessCheck:
    """The admission row that carries it out."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises APIError Invalid. Specs cannot change: what was accepted once stays."""
        resource = request.resource
        if resource.group != "resource.k8s.io" or resource.kind not in (CLAIM, TEMPLATE):
            return
        if request.object is None or request.old is not None:
            return
        asked = list(admin_requests(request.object, resource.kind))
        namespace = self._reader.get("Namespace", request.attributes.namespace)
        if not asked or (namespace is not None and labels_of(namespace).get(LABEL) == "true"):
            return
        why = f"Forbidden: admin access to devices requires the `{LABEL}: true` label on the containing namespace"
        errors = [FieldError("FieldValueForbidden", path, why) for path in asked]
        raise invalid(resource.kind, resource.group, name_in(request), errors)


def admin_requests(obj: Object, kind: str) -> Iterator[str]:
    """The paths of those requests that ask for it."""
    spec, path = obj.get("spec") or {}, "spec"
    if kind == TEMPLATE:
        spec, path = spec.get("spec") or {}, "spec.spec"
    for index, request in enumerate((spec.get("devices") or {}).get("requests") or ()):
        if (request.get("exactly") or {}).get("adminAccess"):
            yield f"{path}.devices.requests[{index}].exactly.adminAccess"
