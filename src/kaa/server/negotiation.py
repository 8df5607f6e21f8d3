"""Media types: which form an answer takes (Accept), and how it is written.

A form is an encoding (JSON, YAML, protobuf) and a transformation: the objects themselves, their metadata alone, or a
Table. Upstream's clients ask for the most compact first and name JSON as their last choice; a choice that is not
offered for a kind is passed over. A header that leaves nothing is NotAcceptable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from kaa.api.errors import APIError, bad_request
from kaa.api.objects import Object
from kaa.server.request import MAX_BODY_BYTES, Request, Response

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
OFFERED = (JSON, YAML, PROTOBUF)
ALIASES = {"*/*": JSON, "application/*": JSON, "text/yaml": YAML}

TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
TRANSFORM_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class MediaType:
    """One choice of an Accept header: `application/json;as=Table;v=v1;g=meta.k8s.io`."""

    name: str
    parameters: Mapping[str, str]


class Accepted(NamedTuple):
    """`encoding` is one of OFFERED; `transform` one of TRANSFORMS or "" for the objects themselves."""

    encoding: str = JSON
    transform: str = ""
    version: str = "v1"  # of the transformation


@lru_cache(maxsize=256)
def parse_media_types(header: str) -> tuple[MediaType, ...]:
    """The choices of an Accept header, most wanted first."""
    weighted: list[tuple[float, MediaType]] = []
    for part in header.split(","):
        name, *rest = (piece.strip() for piece in part.split(";"))
        parameters = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        if name and weight > 0:
            weighted.append((weight, MediaType(name.lower(), parameters)))
    weighted.sort(key=lambda choice: -choice[0])
    return tuple(media_type for _, media_type in weighted)


@lru_cache(maxsize=256)
def accepted(header: str, *, protobuf: bool = True, transforms: bool = True) -> Accepted:
    """The first choice that can be served. Raises NotAcceptable.

    `protobuf` says whether the kind has messages, `transforms` whether there is more than the objects themselves.
    """
    choices = parse_media_types(header)
    if not choices:
        return Accepted()
    for choice in choices:
        encoding = ALIASES.get(choice.name, choice.name)
        transform = choice.parameters.get("as", "")
        if encoding not in OFFERED or (transform and not transforms):
            continue
        if not transform:
            if encoding == PROTOBUF and not protobuf:
                continue
            return Accepted(encoding)
        version = choice.parameters.get("v", "")
        wanted_group = choice.parameters.get("g", "") == "meta.k8s.io"
        if encoding == PROTOBUF and (transform == "Table" or version != "v1"):
            continue  # these have no messages
        if transform in TRANSFORMS and wanted_group and version in TRANSFORM_VERSIONS:
            return Accepted(encoding, transform, version)
    raise not_acceptable()


@lru_cache(maxsize=256)
def status_encoding(header: str) -> str:
    """How a Status is written to whoever accepts this: as wanted if it can be, else as JSON."""
    names = (ALIASES.get(choice.name, choice.name) for choice in parse_media_types(header))
    return next((name for name in names if name in OFFERED), JSON)


def not_acceptable() -> APIError:
    return APIError("NotAcceptable", f"only the following media types are accepted: {', '.join(OFFERED)}")


def content_type(request: Request) -> str:
    """The body's media type without parameters; JSON when there is none, as upstream."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() or JSON


def check_size(request: Request) -> None:
    if len(request.body) > MAX_BODY_BYTES:
        raise too_large()


def too_large() -> APIError:
    return APIError("RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY_BYTES}")


def encode(obj: Any, encoding: str = JSON) -> bytes:
    if encoding == JSON:
        return orjson.dumps(obj)
    if encoding == PROTOBUF:
        from kaa.api.protobuf import encode_object

        return encode_object(obj)
    import yaml

    text: str = yaml.safe_dump(obj, sort_keys=False, default_flow_style=False)
    return text.encode()


def respond(obj: Object, status: int = 200, encoding: str = JSON) -> Response:
    """An answer that is one object."""
    return Response(status, encode(obj, encoding), encoding)


def plain_encoding(request: Request) -> str:
    """How an answer is written that is one object and has no other form, such as a review. Raises NotAcceptable."""
    return accepted(request.headers.get("accept", ""), transforms=False).encoding


def respond_error(error: APIError, encoding: str = JSON) -> Response:
    response = respond(error.to_status(), error.code, encoding)
    if error.retry_after_seconds:
        response.headers["retry-after"] = str(error.retry_after_seconds)
    return response


def check_object(obj: Any) -> Object:
    if not isinstance(obj, dict):
        raise bad_request("the body of the request is not an object")
    return obj
