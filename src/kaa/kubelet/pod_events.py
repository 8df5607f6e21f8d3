"""Events about pods, and about single containers of them."""

from typing import Protocol

from kaa.api.objects import Object
from kaa.kubelet.pod_spec import ContainerKind, container_named

FIELD_PATHS: dict[ContainerKind, str] = {
    "init": "spec.initContainers",
    "app": "spec.containers",
    "ephemeral": "spec.ephemeralContainers",
}


class Recorder(Protocol):
    """`kaa.client.events.EventRecorder`, as far as the kubelet needs it."""

    def record(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...


class PodEvents:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def pod(self, pod: Object, type: str, reason: str, message: str) -> None:
        self._recorder.record(pod, type, reason, message)

    def container(self, pod: Object, name: str, type: str, reason: str, message: str) -> None:
        """The event's fieldPath names the container, e.g. `spec.containers{web}`."""
        named = container_named(pod, name)
        path = f"{FIELD_PATHS[named[0]]}{{{name}}}" if named is not None else ""
        self._recorder.record(pod, type, reason, message, field_path=path)
