"""Images: what is present, under which names, and CRI's ImageService over it.

    content/      manifests and configurations by digest (layers only until they are unpacked)
    snapshots/    unpacked layers
    images.json   id -> what the image consists of; name -> id

`images.json` is written last, durably: an image is there when everything it names is. What a crash leaves behind
without being named is removed when the store is opened. Nothing is ever removed because it is unused: the kubelet
decides that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from kaa.cri import manifests
from kaa.cri.archive import ArchivedImage, ArchiveError, manifest_for_this_machine, read_archive
from kaa.cri.content import ContentError, ContentStore
from kaa.cri.cri import Message, RuntimeFault
from kaa.cri.layers import LayerError
from kaa.cri.linux.namespaces import in_namespace
from kaa.cri.manifests import ManifestError
from kaa.cri.records import read_json, write_json
from kaa.cri.references import Reference, is_image_id, parse_reference
from kaa.cri.snapshots import Snapshots, disk_usage
from kaa.lib.clock import Clock

CONCURRENT_PULLS = 3
"""How many images are fetched at a time; others wait."""

CONCURRENT_BLOBS = 3
"""How many layers of one image are fetched at a time."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image. `id` is its configuration's digest; `chain` the chain ids of its layers, lowest first."""

    id: str
    manifest: str
    chain: tuple[str, ...]
    size_bytes: int
    user: str = ""
    names: tuple[str, ...] = ()  # repo:tag
    digests: tuple[str, ...] = ()  # repo@digest, of those that were pulled

    @classmethod
    def from_json(cls, stored: Document) -> "ImageRecord":
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**fields)

    def to_message(self) -> Message:
        message: Message = {
            "id": self.id,
            "repo_tags": list(self.names),
            "repo_digests": list(self.digests),
            "size": self.size_bytes,
            "spec": {"image": self.id},
        }
        user = self.user.partition(":")[0]
        if user.isdigit():
            message["uid"] = {"value": int(user)}
        elif user:
            message["username"] = user
        return message


class Images:
    """CRI's ImageService, and what the runtime asks about images. One instance a root directory."""

    def __init__(
        self,
        root: Path,
        snapshots: Snapshots,
        clock: Clock,
        *,
        registry_mirrors: Mapping[str, str] | None = None,
        host_netns_path: str = "",
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._file = root / "images.json"
        self._content = ContentStore(root / "content")
        self._snapshots = snapshots
        self._clock = clock
        self._mirrors = dict(registry_mirrors or {})
        self._host_netns_path = host_netns_path
        self._pulls = asyncio.Semaphore(CONCURRENT_PULLS)
        self._unpacking = asyncio.Lock()  # two images may share layers; one of them unpacks them
        self._gate = asyncio.Lock()  # held while pruning, and to begin a pull or load
        self._using = 0  # pulls and loads under way, whose content nothing names yet
        stored = read_json(self._file) or {}
        self._images = {key: ImageRecord.from_json(value) for key, value in stored.items()}
        self._prune()

    # What the runtime asks.

    def find(self, text: str) -> ImageRecord | None:
        """The image of that id, name or `repo@digest`, as the kubelet or a person writes it."""
        if text.startswith("sha256:") or is_image_id(text):
            return self._images.get(text if text.startswith("sha256:") else f"sha256:{text}")
        try:
            name = str(parse_reference(text))
        except ValueError:
            return None
        return next((i for i in self._images.values() if name in i.names or name in i.digests), None)

    def config(self, image: ImageRecord) -> Document:
        """The image's configuration document."""
        document: Document = orjson.loads(self._content.read(image.id))
        return document

    # Loading archives.

    async def load_archive(self, source: Path | BinaryIO) -> list[str]:
        """Loads an OCI archive or one of `docker save`; returns the names it brought, or ids of unnamed images.

        Raises RuntimeFault("InvalidArgument") for what is no such archive.
        """

        def read() -> list[ArchivedImage]:
            if isinstance(source, Path):
                with source.open("rb") as file:
                    return read_archive(file, self._content)
            return read_archive(source, self._content)

        async with self._in_use():
            try:
                archived = await asyncio.to_thread(read)
                records = [await self._unpack(image.manifest_digest, image.names, ()) for image in archived]
            except (ArchiveError, ContentError, ManifestError, LayerError, ValueError, OSError) as e:
                raise RuntimeFault("InvalidArgument", f"failed to load the image archive: {e}") from e
        return [name for image, record in zip(archived, records, strict=True) for name in image.names or (record.id,)]

    async def _unpack(self, manifest_digest: str, names: Sequence[str], digests: Sequence[str]) -> ImageRecord:
        """Makes an image of content that is all here: unpacks its layers, then names it."""
        manifest = manifests.parse_manifest(orjson.loads(self._content.read(manifest_digest)))
        config = orjson.loads(self._content.read(manifest.config.digest))
        architecture, _ = manifests.this_architecture()
        if config.get("architecture", architecture) != architecture:
            raise ManifestError(f"no match for platform in manifest: linux/{architecture} not found")
        diffs = manifests.diff_ids(config, len(manifest.layers))
        chain = manifests.chain_ids(diffs)

        def unpack_all() -> None:
            for index, layer in enumerate(manifest.layers):
                if not self._snapshots.has_layer(chain[index]):
                    below = chain[:index][::-1]
                    with self._content.path(layer.digest).open("rb") as blob:
                        self._snapshots.unpack_layer(chain[index], below, diffs[index], blob)

        async with self._unpacking:
            await asyncio.to_thread(unpack_all)
        record = ImageRecord(
            id=manifest.config.digest,
            manifest=manifest_digest,
            chain=tuple(chain),
            size_bytes=manifest.config.size_bytes + sum(layer.size_bytes for layer in manifest.layers),
            user=(config.get("config") or {}).get("User", ""),
        )
        return self._name(record, names, digests)

    def _name(self, record: ImageRecord, names: Sequence[str], digests: Sequence[str]) -> ImageRecord:
        """Puts the image in, and takes its names from whatever had them."""
        images = dict(self._images)
        for other in list(images.values()):
            if other.id != record.id and set(other.names) & set(names):
                images[other.id] = _renamed(other, tuple(n for n in other.names if n not in names), other.digests)
        old = images.get(record.id, record)
        record = _renamed(
            record, tuple(dict.fromkeys((*old.names, *names))), tuple(dict.fromkeys((*old.digests, *digests)))
        )
        images[record.id] = record
        self._save(images)
        return record

    def _save(self, images: dict[str, ImageRecord]) -> None:
        write_json(self._file, {key: asdict(image) for key, image in images.items()})
        self._images = images

    @contextlib.asynccontextmanager
    async def _in_use(self) -> AsyncIterator[None]:
        """While content arrives that nothing names yet, none is pruned; afterwards the unpacked layers' blobs go."""
        async with self._gate:
            self._using += 1
        try:
            yield
        finally:
            self._using -= 1
            await self._prune_when_idle()

    async def _prune_when_idle(self) -> None:
        """Prunes, unless content is arriving: then whoever brings it does this when it is done."""
        async with self._gate:
            if not self._using:
                await asyncio.to_thread(self._prune)

    def _prune(self) -> None:
        """Removes content and layers that no image (nor container) needs. Blocks."""
        named = {digest for image in self._images.values() for digest in (image.id, image.manifest)}
        for digest in self._content.digests():
            if digest not in named:
                self._content.remove(digest)
        self._snapshots.prune_layers(chain_id for image in self._images.values() for chain_id in image.chain)

    async def untag(self, name: str) -> None:
        """Takes one name away, as a person means it; an image that has no other goes. Raises RuntimeFault("NotFound").

        CRI's RemoveImage, which the kubelet frees space with, removes the image under all its names.
        """
        found = self.find(name)
        if found is None:
            raise RuntimeFault("NotFound", f"no such image: {name}")
        left = tuple(known for known in found.names if known != str(parse_reference(name)))
        if not left or left == found.names:
            await self.remove_image({"image": {"image": found.id}})
        else:
            self._save({**self._images, found.id: _renamed(found, left, found.digests)})

    # CRI's ImageService.

    async def list_images(self, request: Message) -> Message:
        wanted = ((request.get("filter") or {}).get("image") or {}).get("image", "")
        if wanted:
            found = self.find(wanted)
            return {"images": [found.to_message()] if found else []}
        return {"images": [image.to_message() for image in self._images.values()]}

    async def image_status(self, request: Message) -> Message:
        found = self.find((request.get("image") or {}).get("image", ""))
        if found is None:
            return {}
        answer: Message = {"image": found.to_message()}
        if request.get("verbose"):
            answer["info"] = {
                "info": orjson.dumps({"chainID": list(found.chain), "imageSpec": self.config(found)}).decode()
            }
        return answer

    async def pull_image(self, request: Message) -> Message:
        text = (request.get("image") or {}).get("image", "")
        try:
            reference = parse_reference(text)
        except ValueError as e:
            raise RuntimeFault("InvalidArgument", str(e)) from e
        async with self._pulls, self._in_use():
            record = await self._pull(reference, request.get("auth") or {})
        return {"image_ref": record.id}

    async def _pull(self, reference: Reference, auth: Message) -> ImageRecord:
        from kaa.cri.registry import Registry, RegistryError  # urllib and http.client: only who pulls pays for them

        registry = Registry(reference, auth, self._mirrors)
        limit = asyncio.Semaphore(CONCURRENT_BLOBS)

        async def fetch(blob: manifests.Descriptor) -> None:
            if not self._content.has(blob.digest):
                async with limit:
                    await in_namespace(self._host_netns_path, lambda: registry.fetch_blob(blob, self._content))

        try:
            top = await in_namespace(self._host_netns_path, lambda: registry.fetch_manifest("", self._content))
            manifest_digest = await self._machine_manifest(registry, top)
            manifest = manifests.parse_manifest(orjson.loads(self._content.read(manifest_digest)))
            await fetch(manifest.config)
            chain = manifests.chain_ids(
                manifests.diff_ids(orjson.loads(self._content.read(manifest.config.digest)), len(manifest.layers))
            )
            try:
                async with asyncio.TaskGroup() as group:
                    for layer, chain_id in zip(manifest.layers, chain, strict=True):
                        if not self._snapshots.has_layer(chain_id):
                            group.create_task(fetch(layer))
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
            names = () if reference.digest else (str(reference),)
            return await self._unpack(manifest_digest, names, (f"{reference.repository}@{top}",))
        except RegistryError as e:
            raise RuntimeFault(e.code, f'failed to pull and unpack image "{reference}": {e}') from e
        except (ContentError, ManifestError, LayerError, OSError, orjson.JSONDecodeError) as e:
            raise RuntimeFault("Unknown", f'failed to pull and unpack image "{reference}": {e}') from e
        finally:
            registry.cancel()

    async def _machine_manifest(self, registry: Any, top: str) -> str:
        """The manifest for this machine: fetches the one that an index names."""
        document = orjson.loads(self._content.read(top))
        if not manifests.is_index(document):
            return top
        chosen = manifests.choose(document, *manifests.this_architecture()).digest
        if not self._content.has(chosen):
            await in_namespace(self._host_netns_path, lambda: registry.fetch_manifest(chosen, self._content))
        return manifest_for_this_machine(chosen, self._content)

    async def remove_image(self, request: Message) -> Message:
        """Removes the image with all its names. Containers made from it keep its layers until they go."""
        found = self.find((request.get("image") or {}).get("image", ""))
        if found is not None:
            self._save({key: image for key, image in self._images.items() if key != found.id})
            await self._prune_when_idle()
        return {}

    async def image_fs_info(self, request: Message) -> Message:
        used, inodes = await asyncio.to_thread(self._disk_usage)
        usage = {
            "timestamp": int(self._clock.now().timestamp() * 1e9),
            "fs_id": {"mountpoint": str(self._root)},
            "used_bytes": {"value": used},
            "inodes_used": {"value": inodes},
        }
        return {"image_filesystems": [usage], "container_filesystems": [usage]}

    def _disk_usage(self) -> tuple[int, int]:
        content_bytes, inodes = disk_usage(self._root / "content")
        for container_id in self._snapshots.container_ids():
            used, count = self._snapshots.usage(container_id)
            content_bytes, inodes = content_bytes + used, inodes + count
        return content_bytes + self._snapshots.layers_size_bytes(), inodes


def _renamed(image: ImageRecord, names: tuple[str, ...], digests: tuple[str, ...]) -> ImageRecord:
    return replace(image, names=names, digests=digests)
