"""What an object looked like, for people: its metadata and status, and the last events about it."""

from typing import Any

import yaml

from kaa.api.errors import APIError
from kaa.api.objects import Object, name_of
from kaa.api.resource import Resource
from kaa.client.rest import Client

EVENTS_SHOWN = 10
BORING = ("managedFields", "uid", "selfLink")
"""Fields of the metadata that tell a reader nothing."""


async def portrait(client: Client, resource: Resource, obj: Object | None, name: str, namespace: str | None) -> str:
    """Asks for the events; an object that there is not is said to be none."""
    shown = "it does not exist" if obj is None else drawn(obj)
    selector = f"involvedObject.kind={resource.kind},involvedObject.name={name}"
    try:
        events = (await client.list("Event", namespace, field_selector=selector)).items
    except APIError as error:
        return f"{shown}\nevents: {error.message}"
    events.sort(key=lambda event: int(event["metadata"].get("resourceVersion") or 0))
    lines = [event_line(event) for event in events[-EVENTS_SHOWN:]]
    return "\n".join([shown, "events:" if lines else "events: none", *lines])


def drawn(obj: Object) -> str:
    """YAML of all but the spec."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in BORING}
    rest = {key: value for key, value in obj.items() if key not in ("spec", "metadata", "apiVersion", "kind")}
    chosen: dict[str, Any] = {"kind": obj.get("kind", ""), "metadata": metadata, **rest}
    return yaml.safe_dump(chosen, sort_keys=False, default_flow_style=False).rstrip()


def event_line(event: Object) -> str:
    count = event.get("count") or 1
    times = f" (x{count})" if count > 1 else ""
    about = event.get("involvedObject") or {}
    where = f"{str(about.get('kind', '')).lower()}/{about.get('name') or name_of(event)}"
    return f"  {event.get('type', '')} {event.get('reason', '')}{times} {where}: {event.get('message', '')}"
