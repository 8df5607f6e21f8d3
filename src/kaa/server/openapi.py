"""/openapi/v3: what `kubectl explain` and `kubectl apply` read. The documents themselves are `api/openapi.py`'s.

    GET /openapi/v3                        {"paths": {"apis/apps/v1": {"serverRelativeURL": ".../apps/v1?hash=..."}}}
    GET /openapi/v3/apis/apps/v1?hash=...  the document; clients may keep it for good

A document is made when it is asked for, and the last few are kept: one can be a megabyte, and most are never read.
/openapi/v2 is not served: its clients read protobuf alone.
"""

from collections import OrderedDict
from dataclasses import replace

import orjson

from kaa.api.objects import Object
from kaa.api.resource import Catalog
from kaa.server.discovery import version
from kaa.server.negotiation import JSON, respond
from kaa.server.request import Request, Response

ROOT = "/openapi/v3"

DOCUMENTS_KEPT = 4


class OpenAPI:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._revision = -1
        self._described = Catalog()
        self._index: Object = {"paths": {}}
        self._documents: OrderedDict[str, bytes] = OrderedDict()  # by address

    def answer(self, request: Request) -> Response | None:
        """None for a path that is not OpenAPI's."""
        if not request.path.startswith(ROOT):
            return None
        self._refresh()
        path = request.path.removeprefix(ROOT).strip("/")
        if not path:
            return respond(self._index)
        known = self._index["paths"].get(path)
        if known is None:
            return None
        address: str = known["serverRelativeURL"]
        hash_ = address.partition("?hash=")[2]
        headers = {"etag": f'"{hash_}"', "vary": "Accept"}
        if request.parameter("hash") == hash_:
            headers["cache-control"] = "public, immutable"
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(304, headers=headers)
        return Response(200, self._document(path, address), JSON, headers)

    def _refresh(self) -> None:
        if self._revision == self._catalog.revision:
            return
        # Few clients ask for this at all: what makes it is loaded with the first.
        from kaa.api.openapi import index

        self._revision = self._catalog.revision
        self._described = Catalog()
        for row in self._catalog:
            self._described.add(row if row.schema is None else replace(row, schema=dict(row.schema.root)))
        self._index = index(self._described)

    def _document(self, path: str, address: str) -> bytes:
        made = self._documents.get(address)
        if made is None:
            from kaa.api.openapi import document

            _, *group, version_ = path.split("/")
            server_version: str = version()["gitVersion"]
            made = orjson.dumps(document(self._described, "".join(group), version_, server_version=server_version))
            self._documents[address] = made
        self._documents.move_to_end(address)
        while len(self._documents) > DOCUMENTS_KEPT:
            self._documents.popitem(last=False)
        return made
