"""Image archives: reading OCI layouts and `docker save` tars into the content store, and writing a small OCI archive.

An archive is read once, front to back, so it can come from a pipe. Its documents (`index.json`, `manifest.json`) may
come after what they name: every file goes into the content store first, and is looked up by its path at the end.
"""

import gzip
import hashlib
import io
import posixpath
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from kaa.cri import manifests
from kaa.cri.content import ContentStore, chunks_of
from kaa.cri.references import parse_reference

NAME_ANNOTATION = "io.containerd.image.name"
REFERENCE_ANNOTATION = "org.opencontainers.image.ref.name"
CREATED = "1970-01-01T00:00:00Z"
"""When archives written here were "created": the same input gives the same bytes."""


class ArchiveError(Exception):
    """Not an archive of images, or one that lacks a part."""


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """One image of an archive: the digest of its manifest (in the content store now) and its normalised names."""

    manifest_digest: str
    names: tuple[str, ...]


def read_archive(file: BinaryIO, content: ContentStore) -> list[ArchivedImage]:
    """Stores all that the archive holds and returns its images for this machine. Blocks."""
    blobs: dict[str, str] = {}  # path in the archive -> digest
    try:
        with tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                path = posixpath.normpath(member.name)
                if member.isreg():
                    source = tar.extractfile(member)
                    assert source is not None
                    digest = f"sha256:{posixpath.basename(path)}" if path.startswith("blobs/sha256/") else ""
                    blobs[path] = content.add(chunks_of(source), digest=digest)  # type: ignore[arg-type]
                elif member.issym() or member.islnk():  # old `docker save` shares equal layers so
                    base = posixpath.dirname(path) if member.issym() else ""
                    target = posixpath.normpath(posixpath.join(base, member.linkname))
                    if target in blobs:
                        blobs[path] = blobs[target]
                tar.members.clear()  # type: ignore[attr-defined]  # of any length in bounded memory
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as e:
        raise ArchiveError(f"not a tar archive: {e}") from e
    if "index.json" in blobs:
        return _oci_images(_document(content, blobs["index.json"]), content)
    if "manifest.json" in blobs:
        return _docker_images(_document(content, blobs["manifest.json"]), blobs, content)
    raise ArchiveError("neither an OCI archive (index.json) nor one of docker save (manifest.json)")


def _document(content: ContentStore, digest: str) -> Any:
    try:
        return orjson.loads(content.read(digest))
    except orjson.JSONDecodeError as e:
        raise ArchiveError(f"{digest} is not JSON: {e}") from e


def _oci_images(index: Mapping[str, Any], content: ContentStore) -> list[ArchivedImage]:
    names: dict[str, list[str]] = {}  # by manifest: an image with several names has several entries
    for entry in index.get("manifests") or ():
        annotations = entry.get("annotations") or {}
        name = annotations.get(NAME_ANNOTATION) or annotations.get(REFERENCE_ANNOTATION) or ""
        digest = manifest_for_this_machine(manifests.descriptor(entry).digest, content)
        listed = names.setdefault(digest, [])
        if name and ("/" in name or ":" in name or NAME_ANNOTATION in annotations):
            listed.append(str(parse_reference(name)))
    return [ArchivedImage(digest, tuple(listed)) for digest, listed in names.items()]


def manifest_for_this_machine(digest: str, content: ContentStore) -> str:
    """Follows an index, or an index in an index, to the manifest."""
    architecture, variant = manifests.this_architecture()
    for _ in range(3):
        document = _document(content, digest)
        if not manifests.is_index(document):
            return digest
        digest = manifests.choose(document, architecture, variant).digest
    raise ArchiveError(f"{digest}: indexes nested too deeply")


def _docker_images(entries: Any, blobs: Mapping[str, str], content: ContentStore) -> list[ArchivedImage]:
    def stored(path: str, media_type: str) -> dict[str, Any]:
        digest = blobs.get(posixpath.normpath(path))
        if digest is None:
            raise ArchiveError(f"the archive names {path} but does not contain it")
        return {"mediaType": media_type, "digest": digest, "size": content.path(digest).stat().st_size}

    images = []
    for entry in entries:
        manifest = {
            "schemaVersion": 2,
            "mediaType": manifests.OCI_MANIFEST,
            "config": stored(entry["Config"], manifests.OCI_CONFIG),
            "layers": [stored(layer, manifests.OCI_LAYER) for layer in entry["Layers"]],
        }
        names = tuple(str(parse_reference(name)) for name in entry.get("RepoTags") or ())
        images.append(ArchivedImage(content.add_bytes(orjson.dumps(manifest)), names))
    return images


def write_oci_archive(path: Path, name: str, root: Path, config: Mapping[str, Any]) -> str:
    """Writes an image of one layer, the files under `root`, as an OCI archive, and returns its id.

    `config` is the image's configuration as in a Dockerfile: `{"Entrypoint": ["/bin/httpd"], "Env": ["A=b"]}`.
    Owners are root and times zero: the same files give the same image.
    """
    layer = _layer_of(root)
    architecture, variant = manifests.this_architecture()
    diff_id = _digest(layer)
    image = {
        "created": CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": CREATED, "created_by": "kaa"}],
    }
    if variant:
        image["variant"] = variant
    image_bytes = orjson.dumps(image)
    manifest = orjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifests.OCI_MANIFEST,
            "config": _descriptor(image_bytes, manifests.OCI_CONFIG),
            "layers": [_descriptor(layer, manifests.OCI_LAYER)],
        }
    )
    reference = str(parse_reference(name))
    annotations = {NAME_ANNOTATION: reference, REFERENCE_ANNOTATION: reference.rpartition(":")[2]}
    entry = _descriptor(manifest, manifests.OCI_MANIFEST) | {"annotations": annotations}
    index = {"schemaVersion": 2, "mediaType": manifests.OCI_INDEX, "manifests": [entry]}
    with tarfile.open(path, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        for blob in (layer, image_bytes, manifest):
            _add(tar, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)
        _add(tar, "index.json", orjson.dumps(index))
    return _digest(image_bytes)


def _layer_of(root: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            member = tar.gettarinfo(path, str(path.relative_to(root)))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = 0
            member.mode = stat.S_IMODE(member.mode)
            if member.isreg():
                with path.open("rb") as file:
                    tar.addfile(member, file)
            else:
                tar.addfile(member)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
