"""Which image does what: the registry of a simulated cluster, where anything can be pulled.

    images.add("worker", worker)                                # a coroutine function: it runs as the container
    images.add("example.com/db:17", Behaviour(start_seconds=5))

A name without a tag stands for all tags. What is not here just runs until it is stopped. A pod's annotations have the
last word (`behaviours.py`).
"""

from collections.abc import Mapping

from kaa.cluster.simulation.behaviours import refined
from kaa.cri.simulated_behaviour import Behaviour, Program


class Images:
    def __init__(self) -> None:
        self._behaviours: dict[str, Behaviour] = {}

    def add(self, name: str, what: Behaviour | Program) -> None:
        """From the next container on. Twice: the later one counts."""
        self._behaviours[name] = what if isinstance(what, Behaviour) else Behaviour(program=what)

    def behaviour_of(self, image: str, container: str, annotations: Mapping[str, str]) -> Behaviour:
        """A `BehaviourOf`. Raises RuntimeFault for an annotation that cannot be read."""
        found = self._behaviours.get(image) or self._behaviours.get(repository(image)) or Behaviour()
        return refined(found, container, annotations)


def repository(image: str) -> str:
    """The name without tag and digest: `localhost:5000/app` of `localhost:5000/app:1@sha256:...`."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name
