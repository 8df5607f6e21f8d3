"""The node agent's door for images: what `kaa image` needs beyond CRI, over a unix socket that only root can open.

CRI can pull and list images, but not take one from a file, nor take away one name of several. Requests and answers are
CRI's messages as JSON:

    POST   /load?path=/abs/archive.tar  -> {"names": ["docker.io/library/kaa-hello:1.0"]}
    POST   /pull     PullImageRequest   -> PullImageResponse
    GET    /images                      -> ListImagesResponse
    POST   /remove?name=NAME            -> {}

A failed call is a 4xx with `{"error": "..."}`.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import orjson
from aiohttp import web

from kaa.cri.cri import ImageService, Message, RuntimeFault


class LoadingImageService(ImageService, Protocol):
    async def load_archive(self, source: Path) -> list[str]: ...
    async def untag(self, name: str) -> None: ...


def image_application(images: LoadingImageService) -> web.Application:
    async def load(request: web.Request) -> Message:
        return {"names": await images.load_archive(Path(request.query["path"]))}

    async def pull(request: web.Request) -> Message:
        return await images.pull_image(orjson.loads(await request.read()))

    async def list_images(_request: web.Request) -> Message:
        return await images.list_images({})

    async def remove(request: web.Request) -> Message:
        await images.untag(request.query["name"])
        return {}

    app = web.Application()
    app.router.add_post("/load", _answering(load))
    app.router.add_post("/pull", _answering(pull))
    app.router.add_get("/images", _answering(list_images))
    app.router.add_post("/remove", _answering(remove))
    return app


def _answering(call: Callable[[web.Request], Awaitable[Message]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        try:
            answer, status = await call(request), 200
        except RuntimeFault as fault:
            answer, status = {"error": fault.message}, 400
        except OSError as error:
            answer, status = {"error": str(error)}, 400
        return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")

    return handler
