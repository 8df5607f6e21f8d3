"""/openapi/v3 and /openapi/v2: what `kubectl explain`, `kubectl apply` and client-go read. `api/openapi*.py` make them.

    GET /openapi/v3                        {"paths": {"apis/apps/v1": {"serverRelativeURL": ".../apps/v1?hash=..."}}}
    GET /openapi/v3/apis/apps/v1?hash=...  the document; clients may keep it for good
    GET /openapi/v2                        everything in one document, as JSON or as gnostic's protobuf

A document is made when it is asked for, and the last few are kept: one can be a megabyte, and most are never read.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import orjson

from kaa.api.objects import Object
from kaa.api.resource import Catalog
from kaa.server.discovery import version
from kaa.server.negotiation import JSON, not_acceptable, parse_media_types, respond
from kaa.server.request import Request, Response

V2, V3 = "/openapi/v2", "/openapi/v3"

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_ENCODINGS = {
    JSON: JSON,
    "application/*": JSON,
    "*/*": JSON,
    V2_PROTOBUF: V2_PROTOBUF,
    # An older spelling, which is no valid media type: client-go still asks for it.
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf": V2_PROTOBUF,
}

DOCUMENTS_KEPT = 4


class OpenAPI:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._revision = -1
        self._described = Catalog()
        self._index: Object = {"paths": {}}
        self._documents: OrderedDict[tuple[str, str], bytes] = OrderedDict()  # by hash and encoding

    def answer(self, request: Request) -> Response | None:
        """None for a path that is not OpenAPI's. Raises NotAcceptable."""
        path = request.path.rstrip("/")
        if path == V2:
            self._refresh()
            return self._answer_v2(request)
        if path == V3:
            self._refresh()
            return respond(self._index)
        if path.startswith(V3 + "/"):
            self._refresh()
            return self._answer_v3(request, path.removeprefix(V3 + "/"))
        return None

    def _answer_v3(self, request: Request, path: str) -> Response | None:
        known = self._index["paths"].get(path)
        if known is None:
            return None
        address: str = known["serverRelativeURL"]
        hash_ = address.partition("?hash=")[2]
        immutable = request.parameter("hash") == hash_
        return self._document(request, hash_, JSON, lambda: self._make_v3(path), immutable=immutable)

    def _answer_v2(self, request: Request) -> Response:
        choices = parse_media_types(request.headers.get("accept", "")) or parse_media_types(JSON)
        encoding = next((V2_ENCODINGS[choice.name] for choice in choices if choice.name in V2_ENCODINGS), None)
        if encoding is None:
            raise not_acceptable()
        hash_ = hashlib.sha256(orjson.dumps(self._index)).hexdigest().upper()
        return self._document(request, hash_, encoding, lambda: self._make_v2(encoding))

    def _document(
        self, request: Request, hash_: str, encoding: str, make: Callable[[], bytes], *, immutable: bool = False
    ) -> Response:
        headers = {"etag": f'"{hash_}"', "vary": "Accept"}
        if immutable:
            headers["cache-control"] = "public, immutable"
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(304, headers=headers)
        key = (hash_, encoding)
        if key not in self._documents:
            self._documents[key] = make()
        self._documents.move_to_end(key)
        while len(self._documents) > DOCUMENTS_KEPT:
            self._documents.popitem(last=False)
        return Response(200, self._documents[key], encoding, headers)

    # Few clients ask for any of this at all: what makes it is loaded with the first.

    def _refresh(self) -> None:
        if self._revision == self._catalog.revision:
            return
        from kaa.api.openapi import index

        self._revision = self._catalog.revision
        self._described = Catalog()
        for row in self._catalog:
            self._described.add(row if row.schema is None else replace(row, schema=dict(row.schema.root)))
        self._index = index(self._described)

    def _make_v3(self, path: str) -> bytes:
        from kaa.api.descriptions import describe
        from kaa.api.openapi import document

        _, *group, version_ = path.split("/")
        made = document(
            self._described, "".join(group), version_, server_version=version()["gitVersion"], describe=describe
        )
        return orjson.dumps(made)

    def _make_v2(self, encoding: str) -> bytes:
        """Without descriptions: whoever shows them to people reads v3."""
        from kaa.api.openapi_v2 import document_v2, encode_v2

        made = document_v2(self._described, server_version=version()["gitVersion"])
        return encode_v2(made) if encoding == V2_PROTOBUF else orjson.dumps(made)
