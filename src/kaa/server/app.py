"""The API server: what every request passes through, and what lives while it runs.

    request -> info -> authentication -> audit -> impersonation -> flow control -> authorization -> routing -> handler

The order is upstream's. Handlers raise APIError, which becomes a Status here and nowhere else. A transport
(`http.py`, `inprocess.py`) calls `handle`; nothing above it knows of sockets, and nothing below of HTTP.

    server = APIServer(MemoryStore(clock), clock)
    await server.start()
    response = await server.handle(Request("GET", "/api/v1/namespaces"))
    await server.stop()
"""

import asyncio
import logging
from collections.abc import Container
from typing import TYPE_CHECKING

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.resource import Catalog
from kaa.lib.clock import Clock
from kaa.server import routing
from kaa.server.authorize import forbidden
from kaa.server.chain import Core, Handler, SecureBy, trust_everybody
from kaa.server.claim_repair import ClaimRepair
from kaa.server.compaction import compact_regularly
from kaa.server.custom import allow_custom_kinds
from kaa.server.custom.definitions import Definitions
from kaa.server.discovery import Discovery
from kaa.server.field_managers import FieldManagers
from kaa.server.flow_control import FlowControl
from kaa.server.flow_control.following import follow
from kaa.server.forms import Forms
from kaa.server.health import Health
from kaa.server.impersonation import impersonate, is_impersonating
from kaa.server.internal import CacheReader, RegistryWriter
from kaa.server.listing import Lister
from kaa.server.metrics import Metrics
from kaa.server.negotiation import respond_error, status_encoding
from kaa.server.openapi import OpenAPI
from kaa.server.registry import Registry
from kaa.server.request import ANONYMOUS, Attributes, Request, Response, User
from kaa.server.request_info import RequestInfo, request_info
from kaa.server.subresources import Subresources
from kaa.server.verbs import Verbs
from kaa.server.watch_cache import WatchCache
from kaa.server.watching import Watching
from kaa.store.store import Store, StoreFailed

if TYPE_CHECKING:
    from kaa.server.audit import Audit

log = logging.getLogger(__name__)

REQUESTS_IN_FLIGHT = 600
"""Requests answered at a time, as upstream's default for reads and writes together; flow control divides them."""


class APIServer:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalog: Catalog | None = None,
        *,
        secure: SecureBy = trust_everybody,
        audit: "Audit | None" = None,
        outdated: Container[str] = (),
        requests_in_flight: int = REQUESTS_IN_FLIGHT,
    ) -> None:
        self.store = store
        self.clock = clock
        self.catalog = catalog if catalog is not None else builtin_catalog()
        allow_custom_kinds(self.catalog)
        self.cache = WatchCache(store, self.catalog)
        self.registry = Registry(store, self.cache, clock, outdated)
        self.reader = CacheReader(self.cache, self.catalog)
        self.writer = RegistryWriter(self.registry, self.catalog)
        self.health = Health()
        self.metrics = Metrics(clock)
        self._audit = audit
        self.chain = secure(Core(clock, self.catalog, self.reader, self.writer, self.cache.has))
        self._watching = Watching(self.cache, clock)
        verbs = Verbs(
            self.catalog,
            self.registry,
            Lister(store, self.cache),
            self._watching,
            Forms(clock),
            self.chain.admission,
            self.authorize,
            FieldManagers(self.catalog, clock),
        )
        self._verbs: dict[str, Handler] = {
            "get": verbs.get,
            "list": verbs.list,
            "watch": verbs.watch,
            "create": verbs.create,
            "update": verbs.update,
            "patch": verbs.patch,
            "delete": verbs.delete,
            "deletecollection": verbs.deletecollection,
        }
        subresources = Subresources(verbs, self.reader, clock)
        self._subresources = {**subresources.handlers, **self.chain.subresources}
        self._virtual = {**subresources.virtual, **self.chain.virtual}
        self._definitions = Definitions(self.catalog, self.cache, self.registry, clock)
        self._paths = (
            Discovery(self.catalog).answer,
            OpenAPI(self.catalog).answer,
            self.health.answer,
            self.metrics.answer,
            *self.chain.paths,
        )
        self.flow_control = FlowControl(self.reader, self.writer, clock, requests_in_flight, self._stored)
        self.metrics.add(self.flow_control.metrics)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fills the caches, makes what must be there, and is ready then. Raises what went wrong."""
        await self.cache.load()
        self._definitions.load()
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        self._task = loop.create_task(self._run(ready), name="api server")
        await asyncio.wait((ready, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._task

    async def _run(self, ready: "asyncio.Future[None]") -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.cache.run(), name="watch cache")
            tasks.create_task(self._definitions.run(), name="custom kinds")
            tasks.create_task(compact_regularly(self.store, self.clock), name="compaction")
            if self._audit is not None:
                tasks.create_task(self._audit.run(), name="audit log")
            if self.chain.started is not None:
                await self.chain.started()
            if self.chain.background is not None:
                tasks.create_task(self.chain.background(), name="security")
            following = follow(self.flow_control, self.cache, self.catalog, self.clock)
            tasks.create_task(following, name="flow control")
            repair = ClaimRepair(self.store, self.cache, self.catalog, self.clock)
            await repair.look()  # before anybody can ask for an address
            tasks.create_task(repair.run(), name="claims of Services")
            self.health.ready = True
            ready.set_result(None)

    async def wait(self) -> None:
        """Until the server stops, or what it lives on has failed: then that is raised."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Ends every watch and all background work. The store is the caller's to close."""
        self.health.ready = False
        self.cache.close()
        self._watching.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def handle(self, request: Request) -> Response:
        """Answers any request; never raises but for cancellation."""
        began = self.clock.monotonic()
        info = request_info(request)
        panicked = False
        try:
            response = await self._answer(request, info)
        except APIError as error:
            response = _refusal(request, error)
        except StoreFailed as error:
            response = _refusal(request, APIError("InternalError", f"Internal error occurred: {error}"))
        except Exception as error:
            # The edge: a fault of ours ends one request, loudly, and not the server.
            log.exception("%s %s failed", request.method, request.path)
            response = _refusal(request, APIError("InternalError", f"Internal error occurred: {error}"))
            panicked = True
        except asyncio.CancelledError:
            if request.audit is not None:
                request.audit.abandon()
            raise
        if request.audit is not None:
            response = request.audit.answer(response, panicked=panicked)
        if request.answer_headers:
            response = response.with_headers(request.answer_headers)
        known = self.catalog.find(info.group, info.version, info.plural) is not None
        self.metrics.observe(info, known, response.status, self.clock.monotonic() - began)
        return response

    async def _answer(self, request: Request, info: RequestInfo) -> Response:
        await self._authenticate(request, info)
        if self._audit is not None:
            request.audit = self._audit.begin(request, info)
        if is_impersonating(request.headers):
            request.user = impersonate(request, self.authorize)
            if request.audit is not None:
                request.audit.impersonates(request.user)
        if routing.is_long_running(info) and info.verb != "watch":
            return await self._dispatch(request, info)
        classified = self.flow_control.classify(request.user, request.path, info)
        request.answer_headers.update(classified.headers)
        width = self.flow_control.width(request, info, classified)
        seat = await classified.level.take(classified.flow, width)
        try:
            return await self._dispatch(request, info)  # of a watch, its beginning
        finally:
            classified.level.release(seat)

    def _stored(self, info: RequestInfo) -> int:
        """How many objects there are of the kind that a request is for."""
        resource = self.catalog.find(info.group, info.version, info.plural)
        return 0 if resource is None else len(self.cache.kind(resource).entries)

    async def _authenticate(self, request: Request, info: RequestInfo) -> None:
        if request.user is not ANONYMOUS:
            return
        try:
            request.user = await self.chain.authenticator.authenticate(request) or ANONYMOUS
        except APIError as error:
            if self._audit is not None:
                self._audit.not_authenticated(request, info, error)
            raise

    async def _dispatch(self, request: Request, info: RequestInfo) -> Response:
        attributes = attributes_of(request.user, request.path, info, self.catalog)
        allowed, reason = self.chain.authorizer.authorize(attributes)
        if request.audit is not None:
            request.audit.authorized(allowed, reason)
        if not allowed:
            raise forbidden(attributes, reason)
        if not info.is_resource:
            return await self._answer_path(request)
        resource = routing.find(self.catalog, info)
        routing.check_verb(resource, info)
        handler = routing.handler_of(resource, info, self._verbs, self._subresources, self._virtual)
        return await handler(request, attributes, resource)

    async def _answer_path(self, request: Request) -> Response:
        """Requests for what is no resource: discovery, health, metrics."""
        if request.method not in ("GET", "HEAD"):
            raise routing.no_such_method()
        for answer in self._paths:
            response = answer(request)
            if response is not None:
                return response
        return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")

    def authorize(self, attributes: Attributes) -> None:
        """Raises Forbidden."""
        allowed, reason = self.chain.authorizer.authorize(attributes)
        if not allowed:
            raise forbidden(attributes, reason)


def _refusal(request: Request, error: APIError) -> Response:
    return respond_error(error, status_encoding(request.headers.get("accept", "")))


def attributes_of(user: User, path: str, info: RequestInfo, catalog: Catalog) -> Attributes:
    return Attributes(
        user,
        info.verb,
        info.group,
        info.version,
        info.plural,
        info.subresource,
        info.namespace,
        info.name,
        path,
        info.is_resource,
        catalog.find(info.group, info.version, info.plural) if info.is_resource else None,
    )
