"""The ImageService without images: a name that has been pulled is present, and has the digest of its name."""

import hashlib

from kaa.cri.cri import Message
from kaa.cri.simulated_behaviour import BehaviourOf
from kaa.lib.clock import Clock


class SimulatedImages:
    def __init__(self, clock: Clock, behaviour_of: BehaviourOf) -> None:
        self._clock = clock
        self._behaviour_of = behaviour_of
        self._images: dict[str, Message] = {}

    async def list_images(self, request: Message) -> Message:
        return {"images": list({image["id"]: image for image in self._images.values()}.values())}

    async def image_status(self, request: Message) -> Message:
        image = self.find(request["image"]["image"])
        return {"image": image} if image is not None else {}

    async def pull_image(self, request: Message) -> Message:
        name = request["image"]["image"]
        behaviour = self._behaviour_of(name, "", request.get("sandbox_config") or {})
        if behaviour.pull_seconds:
            await self._clock.sleep(behaviour.pull_seconds)
        if behaviour.pull_error is not None:
            raise behaviour.pull_error
        digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        image: Message = {
            "id": digest,
            "repo_tags": [name],
            "repo_digests": [f"{name.partition('@')[0].rpartition(':')[0] or name}@{digest}"],
            "size": behaviour.size_bytes,
        }
        if behaviour.uid is not None:
            image["uid"] = {"value": behaviour.uid}
        self._images[name] = image
        return {"image_ref": digest}

    async def remove_image(self, request: Message) -> Message:
        gone = self.find(request["image"]["image"])
        if gone is not None:
            self._images = {name: image for name, image in self._images.items() if image["id"] != gone["id"]}
        return {}

    async def image_fs_info(self, request: Message) -> Message:
        used = sum(image["size"] for image in self._images.values())
        filesystem = {
            "timestamp": int(self._clock.now().timestamp() * 1_000_000) * 1000,
            "fs_id": {"mountpoint": "/"},
            "used_bytes": {"value": used},
            "inodes_used": {"value": len(self._images)},
        }
        return {"image_filesystems": [filesystem], "container_filesystems": [filesystem]}

    def find(self, reference: str) -> Message | None:
        """By name or by id."""
        by_name = self._images.get(reference)
        return by_name or next((image for image in self._images.values() if image["id"] == reference), None)
