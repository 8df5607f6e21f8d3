"""A streamed answer as WebSocket messages, for clients that ask for it so: browsers, and old watch and log clients.

A log comes in binary messages, or as text in base64 with the subprotocol `base64.binary.k8s.io`; of a stream of JSON
documents (a watch) each is a text message of its own. Nothing that the client sends has a meaning.
"""

import base64
from collections.abc import AsyncIterator

from aiohttp import web

from kaa.server.negotiation import JSON
from kaa.server.request import Response

BASE64 = "base64.binary.k8s.io"
PROTOCOLS = ("binary.k8s.io", BASE64)


def is_websocket(request: web.BaseRequest) -> bool:
    return request.headers.get("upgrade", "").lower() == "websocket"


async def stream_messages(
    request: web.BaseRequest, response: Response, chunks: AsyncIterator[bytes]
) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=PROTOCOLS)
    try:
        await socket.prepare(request)
        async for chunk in chunks:
            if response.content_type.startswith(JSON):
                for document in chunk.splitlines():
                    await socket.send_str(document.decode())
            elif socket.ws_protocol == BASE64:
                await socket.send_str(base64.b64encode(chunk).decode())
            else:
                await socket.send_bytes(chunk)
        await socket.close()
    except ConnectionError:
        pass  # the client has gone
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
    return socket
