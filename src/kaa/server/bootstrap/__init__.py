"""The objects that the server makes when it starts, before it is ready. Every start finds what is missing, no more.

Four sorts: *settled* objects are made when absent; *followed* ones are brought up to date (the server's address may be
a new one); *flow control* gets its specs back unless somebody has taken one over; *policy* gets back the permissions
and subjects that upstream gives it, and keeps what people have added, unless they have annotated it with
`rbac.authorization.kubernetes.io/autoupdate: "false"`.
"""

import asyncio
from collections.abc import Callable, Iterable

from kaa.api.errors import APIError
from kaa.api.objects import Object, annotations_of, copy_object, name_of, namespace_of
from kaa.server.bootstrap.flow_control import flow_control_objects, restored
from kaa.server.bootstrap.objects import Advertised, followed_objects, namespaces, settled_objects
from kaa.server.bootstrap.policy import policy_objects
from kaa.server.bootstrap.service_range import ensure_service_range
from kaa.server.chain import Core

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"

Merge = Callable[[Object, Object], Object]
"""(stored, wanted) -> what should be stored."""


async def ensure_objects(core: Core, advertised: Advertised) -> None:
    """All of them, side by side so that the store commits them together; namespaces before what is in them."""
    await _ensure(core, namespaces(), _keep)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_ensure(core, settled_objects(advertised), _keep))
        tasks.create_task(_ensure(core, followed_objects(advertised), _follow))
        tasks.create_task(ensure_service_range(core, advertised))
        tasks.create_task(_ensure(core, flow_control_objects(), restored))
        tasks.create_task(_ensure(core, ((obj["kind"], obj) for obj in policy_objects()), _complete))


async def _ensure(core: Core, objects: Iterable[tuple[str, Object]], merge: Merge) -> None:
    async with asyncio.TaskGroup() as tasks:
        for kind, obj in objects:
            tasks.create_task(_ensure_one(core, kind, obj, merge))


async def _ensure_one(core: Core, kind: str, wanted: Object, merge: Merge) -> None:
    stored = core.reader.get(kind, name_of(wanted), namespace_of(wanted))
    try:
        if stored is None:
            await core.writer.create(kind, wanted)
        elif (merged := merge(copy_object(stored), wanted)) != stored:
            await core.writer.update(kind, merged)
    except APIError as error:
        if error.reason not in ("AlreadyExists", "Conflict"):
            raise
        # Another server of the same store has written it meanwhile: it does the same as this one.


def _keep(stored: Object, wanted: Object) -> Object:
    return stored


def _follow(stored: Object, wanted: Object) -> Object:
    metadata = {**stored["metadata"], "labels": {**(stored["metadata"].get("labels") or {})}}
    metadata["labels"].update(wanted["metadata"].get("labels") or {})
    if not metadata["labels"]:
        del metadata["labels"]
    return {**stored, **wanted, "metadata": metadata}


def _complete(stored: Object, wanted: Object) -> Object:
    """With the rules and subjects that are missing. A binding's role cannot be changed, so it is left as it is."""
    if annotations_of(stored).get(AUTOUPDATE) == "false":
        return stored
    for field in ("rules", "subjects"):
        have = stored.get(field) or []
        missing = [item for item in wanted.get(field) or () if item not in have]
        if missing:
            stored[field] = [*have, *missing]
    return stored
