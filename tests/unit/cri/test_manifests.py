"""Choosing and reading manifests."""

import hashlib

import pytest

from kaa.cri import manifests
from kaa.cri.manifests import ManifestError

D = [f"sha256:{c * 64}" for c in "abc"]


def entry(digest: str, architecture: str, variant: str = "", os: str = "linux") -> dict[str, object]:
    platform = {"os": os, "architecture": architecture} | ({"variant": variant} if variant else {})
    return {"digest": digest, "size": 1, "platform": platform}


def test_the_manifest_of_this_machine_is_chosen() -> None:
    """Protects multi-platform images: the exact variant before another, never another architecture or system."""
    index = {"manifests": [entry(D[0], "arm64"), entry(D[1], "arm64", "v8"), entry(D[2], "amd64", os="windows")]}
    assert manifests.choose(index, "arm64", "v8").digest == D[1]
    assert manifests.choose(index, "arm64", "v9").digest == D[0]
    with pytest.raises(ManifestError, match="no match for platform"):
        manifests.choose(index, "amd64")


def test_chain_ids_are_those_of_the_specification() -> None:
    """Protects sharing of layers: a chain id depends on the layer and on all below it."""
    first, second = manifests.chain_ids(D[:2])
    assert first == D[0]
    assert second == "sha256:" + hashlib.sha256(f"{D[0]} {D[1]}".encode()).hexdigest()


def test_manifests_that_do_not_fit_are_refused() -> None:
    """Protects against schema 1, too many layers, and a configuration of another image."""
    with pytest.raises(ManifestError, match="schema version 2"):
        manifests.parse_manifest({"schemaVersion": 1})
    layers = [{"digest": D[0], "size": 1}] * 128
    with pytest.raises(ManifestError, match="128 layers"):
        manifests.parse_manifest({"schemaVersion": 2, "config": {"digest": D[0], "size": 1}, "layers": layers})
    with pytest.raises(ManifestError, match="names 1 layers, the manifest 2"):
        manifests.diff_ids({"rootfs": {"diff_ids": D[:1]}}, 2)
    with pytest.raises(ManifestError, match="lacks its digest or size"):
        manifests.parse_manifest({"schemaVersion": 2, "config": {"digest": D[0]}})
