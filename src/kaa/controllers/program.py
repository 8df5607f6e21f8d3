"""A program is a controller that does not fit a row: its facts are not in caches of known kinds.

The garbage collector and namespace deletion work on every kind that the server has, found by discovery. They keep
the same split (pure decisions, one loop that carries them out), but bring their own loop.
"""

from dataclasses import dataclass
from typing import Protocol

from kaa.client.events import EventRecorder
from kaa.client.rest import Client
from kaa.client.view import Informers
from kaa.controllers.every_kind import EveryKind
from kaa.lib.clock import Clock


@dataclass(frozen=True, slots=True)
class Context:
    """What a program gets from the manager."""

    client: Client
    clock: Clock
    informers: Informers
    recorder: EventRecorder
    every_kind: EveryKind


class Program(Protocol):
    async def run(self) -> None:
        """Until cancelled."""
        ...
