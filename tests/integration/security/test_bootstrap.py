"""What a cluster has from its first start, and what a later start changes: nothing but what is missing or outdated."""

from typing import Any

from kaa.cluster import certificates
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.security import SecurityOptions, secure
from kaa.store.memory import MemoryStore


async def started(store: MemoryStore, pki: Any, address: str = "192.0.2.1") -> APIServer:
    server = APIServer(store, WallClock(), secure=secure(SecurityOptions.in_directory(pki, address, 6443)))
    await server.start()
    return server


async def test_a_second_start_writes_nothing(tmp_path: Any) -> None:
    """A restart does not wake every watcher of the cluster's policy."""
    clock = WallClock()
    pki = certificates.ensure_pki(tmp_path, [], clock)
    store = MemoryStore(clock)
    first = await started(store, pki)
    names = {obj["metadata"]["name"] for obj in first.reader.list("Namespace")}
    assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
    await first.stop()
    revision = store.revision
    second = await started(store, pki)
    assert store.revision == revision
    await second.stop()
    await store.close()


async def test_a_later_start_mends_policy_and_follows_its_address(tmp_path: Any) -> None:
    """Lost permissions come back, added ones and opted-out roles stay, endpoints name the new address."""
    clock = WallClock()
    pki = certificates.ensure_pki(tmp_path, [], clock)
    store = MemoryStore(clock)
    first = await started(store, pki)
    own = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}
    role = first.reader.get("ClusterRole", "system:kube-dns")
    assert role is not None
    await first.writer.update("ClusterRole", {**role, "rules": [own]})
    binding = first.reader.get("ClusterRoleBinding", "system:discovery")
    assert binding is not None
    annotations = {"rbac.authorization.kubernetes.io/autoupdate": "false"}
    closed = {**binding, "metadata": {**binding["metadata"], "annotations": annotations}, "subjects": []}
    await first.writer.update("ClusterRoleBinding", closed)
    await first.stop()

    second = await started(store, pki, "192.0.2.2")
    mended = second.reader.get("ClusterRole", "system:kube-dns")
    assert mended is not None
    assert mended["rules"] == [
        own,
        {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["endpoints", "services"]},
    ]
    kept = second.reader.get("ClusterRoleBinding", "system:discovery")
    assert kept is not None
    assert not kept.get("subjects")
    endpoints = second.reader.get("EndpointSlice", "kubernetes", "default")
    assert endpoints is not None
    assert endpoints["endpoints"][0]["addresses"] == ["192.0.2.2"]
    await second.stop()
    await store.close()


async def test_a_loopback_address_is_no_endpoint(tmp_path: Any) -> None:
    """A server for this machine only starts, and promises pods nothing."""
    store = MemoryStore(WallClock())
    server = await started(store, certificates.ensure_pki(tmp_path, [], WallClock()), "127.0.0.1")
    assert server.reader.get("Service", "kubernetes", "default") is not None
    assert server.reader.get("EndpointSlice", "kubernetes", "default") is None
    await server.stop()
    await store.close()
