"""The text of a refusal: who may not do what, where. Tools and people read it, so it is upstream's to the letter."""

from kaa.api.errors import APIError, qualified
from kaa.server.request import Attributes


def forbidden(attributes: Attributes, reason: str) -> APIError:
    what = describe(attributes)
    message = f"{subject(attributes)}{what}{': ' + reason if reason else ''}"
    return APIError("Forbidden", message, name=attributes.name, group=attributes.group, kind=attributes.plural)


def subject(attributes: Attributes) -> str:
    if not attributes.is_resource:
        return "forbidden: "
    named = qualified(attributes.plural, attributes.group)
    return f'{named} "{attributes.name}" is forbidden: ' if attributes.name else f"{named} is forbidden: "


def describe(attributes: Attributes) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "default"`."""
    user = f'User "{attributes.user.name}" cannot {attributes.verb}'
    if not attributes.is_resource:
        return f'{user} path "{attributes.path}"'
    named = attributes.plural + (f"/{attributes.subresource}" if attributes.subresource else "")
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    return f'{user} resource "{named}" in API group "{attributes.group}" {where}'
