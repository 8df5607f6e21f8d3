"""Subresources that are not a part of the object itself: Scale, Binding. Status and its like are the verbs'.

Each is keyed by (kind, subresource), with kind "" for any; the server's chain adds those that reach to nodes.
"""

from dataclasses import replace

from kaa.api.errors import APIError, Cause, conflict
from kaa.api.objects import Object, condition
from kaa.api.patch import APPLY_PATCH
from kaa.api.resource import Resource
from kaa.lib.clock import Clock, rfc3339
from kaa.server.applying import configuration
from kaa.server.bodies import decode_object, field_validation
from kaa.server.chain import Handler, Reader
from kaa.server.eviction import SUCCESS, Evictions
from kaa.server.negotiation import content_type, plain_encoding, respond
from kaa.server.object_meta import check_identity, settle_name
from kaa.server.patching import patch_of
from kaa.server.registry import Change, Write
from kaa.server.request import Attributes, Request, Response
from kaa.server.scale import SCALE, apply_scale, scale_of, scaled_config
from kaa.server.storage import decode
from kaa.server.verbs import Verbs

BINDING = Resource(kind="Binding", version="v1")


class Subresources:
    def __init__(self, verbs: Verbs, reader: Reader, clock: Clock) -> None:
        self._verbs = verbs
        self._clock = clock
        self.handlers: dict[tuple[str, str], Handler] = {
            ("", "scale"): self.scale,
            ("Pod", "binding"): self.bind,
            ("Pod", "eviction"): Evictions(verbs, reader, clock).evict,
        }
        self.virtual: dict[str, Handler] = {"Binding": self.bind_by_body, "ComponentStatus": self.component_statuses}

    async def scale(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        """GET, PUT and PATCH of autoscaling/v1 Scale: the one way to change replicas that works for any kind."""
        registry = self._verbs.registry
        encoding = plain_encoding(request)
        change: Change
        if attributes.verb == "get":
            entry = await registry.entry(resource, attributes.namespace, attributes.name)
            return respond(scale_of(resource, decode(resource, entry.item)), encoding=encoding)
        if attributes.verb == "patch" and content_type(request) == APPLY_PATCH:
            write = self._verbs.write(request, attributes)
            config = scaled_config(resource, configuration(request, attributes, SCALE, write.warnings))
            change = self._verbs.field_managers.applier(request, resource, "scale", config).change
        else:
            write = self._verbs.tracked(request, attributes, resource)
            change = self._scaling(request, attributes, resource, write)
        written = await registry.update(
            resource, attributes.namespace, attributes.name, change, write, subresource="scale"
        )
        scale = scale_of(resource, decode(resource, written.item))
        return self._verbs.warned(respond(scale, encoding=encoding), write)

    def _scaling(self, request: Request, attributes: Attributes, resource: Resource, write: Write) -> Change:
        if attributes.verb == "patch":
            patch = patch_of(request, SCALE, field_validation(request), write.warnings)
            return lambda old: apply_scale(resource, old, patch(scale_of(resource, old)))
        body = decode_object(request, SCALE, write.warnings)
        settle_name(body, attributes.name)
        return lambda old: apply_scale(resource, old, body)

    async def bind(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        write = self._verbs.write(request, attributes)
        return await self._bind(decode_object(request, BINDING, write.warnings), attributes, resource, write)

    async def bind_by_body(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        """POST to `bindings`: the older form, where the body names the pod."""
        pods = self._verbs.catalog.named("Pod")
        write = self._verbs.write(request, attributes)
        binding = decode_object(request, BINDING, write.warnings)
        named = replace(attributes, name=binding.get("metadata", {}).get("name", ""))
        return await self._bind(binding, named, pods, write)

    async def _bind(self, binding: Object, attributes: Attributes, pods: Resource, write: Write) -> Response:
        settle_name(binding, attributes.name)
        node = (binding.get("target") or {}).get("name")
        if not node:
            cause = Cause("FieldValueRequired", "Required value", "target.name")
            message = f'Binding "{attributes.name}" is invalid: target.name: Required value'
            raise APIError("Invalid", message, causes=[cause], name=attributes.name, kind="Binding")

        def change(pod: Object) -> Object:
            return self._bound(pods, pod, binding, node)

        await self._verbs.registry.update(
            pods, attributes.namespace, attributes.name, change, write, subresource="binding"
        )
        return self._verbs.warned(respond(SUCCESS, 201), write)

    def _bound(self, pods: Resource, pod: Object, binding: Object, node: str) -> Object:
        """The pod on its node. A pod is bound once. Raises Conflict."""
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            why = f"pod {name} is being deleted, cannot be assigned to a host"
            raise conflict("pods/binding", "", name, why)
        if pod["spec"].get("nodeName"):
            why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict("pods/binding", "", name, why)
        metadata = binding["metadata"]
        check_identity(binding, pod, pods)
        pod["spec"]["nodeName"] = node
        if metadata.get("annotations"):
            pod["metadata"]["annotations"] = {**(pod["metadata"].get("annotations") or {}), **metadata["annotations"]}
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        scheduled: Object = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        scheduled["lastTransitionTime"] = rfc3339(self._clock.now())
        known = condition(conditions, "PodScheduled")
        if known is None:
            conditions.append(scheduled)
        elif known.get("status") != "True":
            known.clear()
            known.update(scheduled)
        return pod

    async def component_statuses(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        """An API that is only kept for old clients: nothing is known of components, so there are none."""
        if attributes.verb == "get":
            raise APIError("NotFound", f'componentstatuses "{attributes.name}" not found')
        return respond({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": []})
