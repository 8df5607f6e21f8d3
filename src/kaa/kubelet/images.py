"""Getting a container's image: by its pull policy, a few pulls at a time, with back-off after failures.

A failed pull is tried again after 10 s, 20 s, ... 300 s; between the tries the container waits as ImagePullBackOff.
"""

import asyncio
import re
from datetime import timedelta

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.transport import TransportError
from kaa.cri.cri import ImageService, Message, RuntimeFault
from kaa.kubelet.delays import PULL_BACKOFF, DelayTable, spell
from kaa.kubelet.environment import Objects
from kaa.kubelet.image_credentials import credentials
from kaa.kubelet.pod_events import PodEvents
from kaa.kubelet.start_failure import StartFailure
from kaa.lib.clock import Clock

MAX_PARALLEL_PULLS = 4
"""Bounds memory and disk bandwidth; further pulls wait their turn."""

SHOWN_SECONDS = 2.0
"""How long a container shows ErrImagePull before it shows ImagePullBackOff."""

_REFERENCE = re.compile(
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?"
)


def with_default_tag(image: str) -> str | None:
    """`busybox` -> `busybox:latest`; None when it is no image reference."""
    if not _REFERENCE.fullmatch(image):
        return None
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def pull_policy(container: Object) -> str:
    """The API server's default, for pods that never met one: Always for `latest`."""
    image = with_default_tag(container.get("image", "")) or ""
    default = "Always" if image.endswith(":latest") else "IfNotPresent"
    return container.get("imagePullPolicy") or default


class ImagePuller:
    def __init__(self, images: ImageService, objects: Objects, events: PodEvents, clock: Clock) -> None:
        self._images = images
        self._objects = objects
        self._events = events
        self._clock = clock
        self._delays: DelayTable[tuple[str, str]] = DelayTable(PULL_BACKOFF)
        self._last_errors: dict[tuple[str, str], StartFailure] = {}
        self._turn = asyncio.Semaphore(MAX_PARALLEL_PULLS)

    async def ensure(self, pod: Object, container: Object, sandbox_config: Message) -> Message:
        """The image as CRI's Image message, pulled if the policy wants that. Raises StartFailure."""
        image = with_default_tag(container.get("image", ""))
        name = container["name"]
        if image is None:
            text = f'couldn\'t parse image name "{container.get("image", "")}": invalid reference format'
            message = f'Failed to apply default image tag "{container.get("image", "")}": {text}'
            self._events.container(pod, name, "Warning", "InspectFailed", message)
            raise StartFailure("InvalidImageName", message)
        present = await self._present(pod, container, image)
        policy = pull_policy(container)
        if present is not None and policy != "Always":
            said = f'Container image "{container["image"]}" already present on machine and can be accessed by the pod'
            self._events.container(pod, name, "Normal", "Pulled", said)
            return present
        if policy == "Never":
            message = f'Container image "{container["image"]}" is not present with pull policy of Never'
            self._events.container(pod, name, "Warning", "ErrImageNeverPull", message)
            raise StartFailure("ErrImageNeverPull", message)
        self._check_backoff(pod, container, image)
        await self._pull(pod, container, image, sandbox_config)
        pulled = await self._present(pod, container, image)
        if pulled is None:
            raise StartFailure("ImageInspectError", f'image "{image}" is gone after it was pulled')
        return pulled

    def forget(self, uid: str) -> None:
        for key in [key for key in self._delays.entries if key[0] == uid]:
            self._delays.forget(key)
            self._last_errors.pop(key, None)

    async def _present(self, pod: Object, container: Object, image: str) -> Message | None:
        try:
            found: Message | None = (await self._images.image_status({"image": {"image": image}})).get("image")
        except RuntimeFault as fault:
            message = f'Failed to inspect image "{image}": {fault.message}'
            self._events.container(pod, container["name"], "Warning", "InspectFailed", message)
            raise StartFailure("ImageInspectError", message) from fault
        return found

    def _check_backoff(self, pod: Object, container: Object, image: str) -> None:
        key, now = (pod["metadata"]["uid"], image), self._clock.now()
        entry = self._delays.entries.get(key)
        until = self._delays.until(key, entry.counted_at, now) if entry is not None else None
        if until is None:
            return
        message = f'Back-off pulling image "{container["image"]}"'
        self._events.container(pod, container["name"], "Normal", "BackOff", message)
        if last := self._last_errors.get(key):
            message = f"{message}: {last.reason}: {last.message}"
        raise StartFailure("ImagePullBackOff", message, until)

    async def _pull(self, pod: Object, container: Object, image: str, sandbox_config: Message) -> None:
        key, name = (pod["metadata"]["uid"], image), container["name"]
        asked_at = self._clock.monotonic()
        async with self._turn:
            self._events.container(pod, name, "Normal", "Pulling", f'Pulling image "{container["image"]}"')
            started_at = self._clock.monotonic()
            try:
                await self._pull_with_credentials(pod, image, sandbox_config)
            except RuntimeFault as fault:
                text = f'Failed to pull image "{container["image"]}": {fault.message}'
                self._events.container(pod, name, "Warning", "Failed", text)
                now = self._clock.now()
                self._delays.count(key, now)
                # The next look finds the back-off, so the error is shown for a moment and then the waiting.
                retry_at = now + timedelta(seconds=SHOWN_SECONDS)
                self._last_errors[key] = StartFailure("ErrImagePull", fault.message, retry_at)
                raise self._last_errors[key] from fault
        self._delays.forget(key)
        self._last_errors.pop(key, None)
        now_at = self._clock.monotonic()
        found = await self._present(pod, container, image) or {}
        self._events.container(
            pod,
            name,
            "Normal",
            "Pulled",
            f'Successfully pulled image "{container["image"]}" in {spell(now_at - started_at)} '
            f"({spell(now_at - asked_at)} including waiting). Image size: {found.get('size', 0)} bytes.",
        )

    async def _pull_with_credentials(self, pod: Object, image: str, sandbox_config: Message) -> None:
        request: Message = {"image": {"image": image}, "sandbox_config": sandbox_config}
        auths: list[Message] = credentials(image, await self._secrets(pod)) or [{}]
        for auth in auths[:-1]:
            try:
                await self._images.pull_image(request | {"auth": auth})
                return
            except RuntimeFault:
                continue
        await self._images.pull_image(request | ({"auth": auths[-1]} if auths[-1] else {}))

    async def _secrets(self, pod: Object) -> list[Object]:
        """Those that exist: a pull without credentials may still succeed."""
        found = []
        for ref in pod["spec"].get("imagePullSecrets") or ():
            try:
                secret = await self._objects.get("Secret", pod["metadata"]["namespace"], ref.get("name", ""))
            except (APIError, TransportError) as error:
                self._events.pod(
                    pod, "Warning", "FailedToRetrieveImagePullSecret", f"Unable to retrieve image pull secret: {error}"
                )
                continue
            if secret is None:
                message = (
                    f"Unable to retrieve some image pull secrets ({ref.get('name', '')}); "
                    "attempting to pull the image may not succeed."
                )
                self._events.pod(pod, "Warning", "FailedToRetrieveImagePullSecret", message)
                continue
            found.append(secret)
        return found
