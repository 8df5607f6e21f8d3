"""Image manifests, pure: which manifest of an index is for this machine, and what an image consists of.

The documents are OCI's (image-spec v1.1) and docker's (schema 2), which differ only in their media types.
An image is known by the digest of its *configuration*. A layer's *diff id* is the digest of its uncompressed tar; the
*chain id* names a layer on top of all those under it, which is what an unpacked layer is stored as.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX)

LAYER_COUNT_LIMIT = 127
"""As docker's: the lower directories of one mount must fit into a page of options."""

ARCHITECTURES: dict[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "riscv64": ("riscv64", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
}
"""Go's names (architecture, variant) for what uname calls the machine."""


class ManifestError(Exception):
    """A manifest, index or configuration that we cannot use."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Where a piece of content is: its digest, and how many bytes it must have."""

    digest: str
    size_bytes: int
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]


def this_architecture() -> tuple[str, str]:
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, (machine, ""))


def descriptor(document: Document) -> Descriptor:
    try:
        return Descriptor(str(document["digest"]), int(document["size"]), str(document.get("mediaType", "")))
    except (KeyError, TypeError, ValueError):
        raise ManifestError("a descriptor lacks its digest or size") from None


def is_index(document: Document) -> bool:
    return document.get("mediaType") in INDEX_TYPES or ("manifests" in document and "layers" not in document)


def choose(index: Document, architecture: str, variant: str = "") -> Descriptor:
    """The manifest for this machine: its exact variant, else any; entries without a platform fit all."""
    fitting: list[tuple[bool, Descriptor]] = []
    for entry in index.get("manifests") or ():
        platform = entry.get("platform")
        if platform is None:
            fitting.append((True, descriptor(entry)))
        elif platform.get("os") == "linux" and platform.get("architecture") == architecture:
            fitting.append((platform.get("variant", "") == variant, descriptor(entry)))
    if not fitting:
        raise ManifestError(f"no match for platform in manifest: linux/{architecture} not found")
    return next((entry for exact, entry in fitting if exact), fitting[0][1])


def parse_manifest(document: Document) -> Manifest:
    if document.get("schemaVersion") != 2 or "config" not in document:
        raise ManifestError("not an image manifest of schema version 2")
    layers = tuple(descriptor(layer) for layer in document.get("layers") or ())
    if len(layers) > LAYER_COUNT_LIMIT:
        raise ManifestError(f"the image has {len(layers)} layers, at most {LAYER_COUNT_LIMIT} are supported")
    return Manifest(descriptor(document["config"]), layers)


def diff_ids(config: Document, layer_count: int) -> list[str]:
    """The uncompressed digest of each layer, lowest first."""
    ids = [str(diff_id) for diff_id in (config.get("rootfs") or {}).get("diff_ids") or ()]
    if len(ids) != layer_count:
        raise ManifestError(f"the configuration names {len(ids)} layers, the manifest {layer_count}")
    return ids


def chain_ids(diffs: Sequence[str]) -> list[str]:
    """The chain id of each layer, lowest first."""
    chain: list[str] = []
    for diff_id in diffs:
        if not chain:
            chain.append(diff_id)
        else:
            digest = hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest()
            chain.append(f"sha256:{digest}")
    return chain
