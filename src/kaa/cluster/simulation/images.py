"""Which image does what: the registry of a simulated cluster, where anything can be pulled.

    images.add("worker", worker)                                # a coroutine function: it runs as the container
    images.add("example.com/db:17", Behaviour(start_seconds=5))

A name without a tag stands for all tags. What is not here runs until it is stopped, or does its work and ends if that
is what such a container is for. A pod's annotations have the last word (`behaviours.py`).
"""

from dataclasses import replace

from kaa.api.objects import Object, annotations_of, controller_of
from kaa.cluster.simulation.behaviours import refined
from kaa.cri.simulated_behaviour import Behaviour, Program
from kaa.kubelet.pod_spec import init_containers, is_sidecar

INIT_SECONDS = 0.0
JOB_SECONDS = 1.0
"""How long containers run that are to come to an end, and of which nothing is said."""

PLAIN = Behaviour()


class Images:
    def __init__(self) -> None:
        self._behaviours: dict[str, Behaviour] = {}

    def add(self, name: str, what: Behaviour | Program) -> None:
        """From the next container on. Twice: the later one counts."""
        self._behaviours[name] = what if isinstance(what, Behaviour) else Behaviour(program=what)

    def behaviour_of(self, pod: Object, container: str, image: str) -> Behaviour:
        """Of the named container of the pod ("": of none yet). Raises RuntimeFault for a bad annotation."""
        found = self._behaviours.get(image) or self._behaviours.get(repository(image)) or PLAIN
        found = refined(found, container, annotations_of(pod))
        if found.exit_after_seconds is None and found.program is None:
            return replace(found, exit_after_seconds=usual_seconds(pod, container))
        return found


def usual_seconds(pod: Object, container: str) -> float | None:
    """How long such a container usually runs; None: until it is stopped."""
    if any(c["name"] == container and not is_sidecar(c) for c in init_containers(pod)):
        return INIT_SECONDS
    owner = controller_of(pod)
    return JOB_SECONDS if owner is not None and owner["kind"] == "Job" else None


def repository(image: str) -> str:
    """The name without tag and digest: `localhost:5000/app` of `localhost:5000/app:1@sha256:...`."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name
