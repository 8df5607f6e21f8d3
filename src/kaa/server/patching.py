"""PATCH requests: the change that a patch makes of an object, as a function for the registry's update loop.

The result is decoded like any body: unknown fields are reported, types checked, defaults filled in.
"""

from collections.abc import Callable

from kaa.api.objects import Object
from kaa.api.patch import apply_patch
from kaa.api.resource import Resource
from kaa.server.bodies import conform
from kaa.server.negotiation import check_object, check_size, content_type
from kaa.server.request import Request


def patch_of(request: Request, resource: Resource, validation: str, warnings: list[str]) -> Callable[[Object], Object]:
    """The change that the request's patch makes. Raises UnsupportedMediaType, RequestEntityTooLarge.

    The change raises BadRequest and Invalid, for a patch that is wrong or does not fit the object.
    """
    check_size(request)
    media_type = content_type(request)

    def change(old: Object) -> Object:
        patched = check_object(apply_patch(media_type, request.body, old))
        return conform(patched, resource, validation, warnings, old)

    return change
