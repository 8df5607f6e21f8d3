"""Encryption at rest with the real store: what lies on the disk, and how keys are rotated."""

import base64
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from kaa.client.rest import Client
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.encryption.configuration import parse_configuration
from kaa.server.encryption.store import EncryptedStore
from kaa.server.inprocess import InProcessTransport
from kaa.server.main import BadConfiguration, ServerOptions, encryption_of
from kaa.store.memory import MemoryStore
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import Compare, Put, StoreFailed

IDENTITY = "identity: {}"
PLAIN = b"cGxhaW4gdGV4dA"  # "plain text", as a Secret has it
DATA = {"x": "cGxhaW4gdGV4dA=="}


def keyed(provider: str, *names: str) -> str:
    keys = [f"{{name: {name}, secret: {base64.b64encode(name.encode().ljust(32)).decode()}}}" for name in names]
    return f"{provider}: {{keys: [{', '.join(keys)}]}}"


@asynccontextmanager
async def running(directory: Path, *providers: str) -> AsyncIterator[Client]:
    """A server over the directory's store, with these providers for secrets."""
    clock = WallClock()
    file = directory / "encryption.yaml"
    file.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n"
        "  providers:\n" + "".join(f"  - {provider}\n" for provider in providers)
    )
    encrypt = encryption_of(ServerOptions(data_dir=directory, encryption_provider_config=file), clock)
    assert encrypt is not None
    store = encrypt(await SQLiteStore.open(directory / "store", clock))
    server = APIServer(store, clock, outdated=store.outdated)
    try:
        await server.start()
        yield Client(InProcessTransport(server.handle))
    finally:
        await server.stop()
        await store.close()


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (directory / "store").rglob("*") if path.is_file())


async def make(client: Client, name: str = "s") -> None:
    metadata = {"name": name, "namespace": "default"}
    await client.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": DATA})


@pytest.mark.parametrize("provider", ["aescbc", "aesgcm"])
async def test_the_secret_is_not_on_the_disk(tmp_path: Path, provider: str) -> None:
    """Neither in the store nor in its log, while reads, lists and a restart give it back."""
    async with running(tmp_path, keyed(provider, "one")) as client:
        await make(client)
        assert (await client.get("Secret", "s", "default"))["data"] == DATA
    data = on_disk(tmp_path)
    assert PLAIN not in data
    assert f"k8s:enc:{provider}:v1:one:".encode() in data
    async with running(tmp_path, keyed(provider, "one")) as client:
        assert (await client.get("Secret", "s", "default"))["data"] == DATA


async def test_keys_are_rotated(tmp_path: Path) -> None:
    """The new key first, every secret replaced by itself, the old key taken away; history it wrote is not needed."""
    async with running(tmp_path, IDENTITY) as client:
        await make(client)
    assert PLAIN in on_disk(tmp_path)
    for providers, first in [
        ((keyed("aescbc", "one"), IDENTITY), b"aescbc:v1:one:"),
        ((keyed("aescbc", "two", "one"),), b"aescbc:v1:two:"),
        ((keyed("aesgcm", "three"), keyed("aescbc", "two")), b"aesgcm:v1:three:"),
    ]:
        async with running(tmp_path, *providers) as client:
            secret = await client.get("Secret", "s", "default")
            written = await client.update(secret)
            assert written["metadata"]["resourceVersion"] != secret["metadata"]["resourceVersion"]
            again = await client.update(written)  # nothing is outdated any more
            assert again["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]
        assert first in on_disk(tmp_path)
    async with running(tmp_path, keyed("aesgcm", "three")) as client:
        assert (await client.get("Secret", "s", "default"))["data"] == DATA


async def test_a_secret_whose_key_is_gone_stops_the_start(tmp_path: Path) -> None:
    """With its name and the remedy; served without it, the cluster would look as if it had been deleted."""
    async with running(tmp_path, keyed("aesgcm", "one")) as client:
        await make(client)
    with pytest.raises(StoreFailed, match=r"cannot decrypt /registry/core/secrets/default/s: .* put that key"):
        async with running(tmp_path, keyed("aesgcm", "two"), IDENTITY):
            pass


async def test_a_deleted_secret_needs_no_key(tmp_path: Path) -> None:
    """Its history is still in the store for a while."""
    async with running(tmp_path, keyed("aesgcm", "one")) as client:
        await make(client)
        await client.delete("Secret", "s", "default")
    async with running(tmp_path, keyed("aesgcm", "two")) as client:
        await make(client, "t")


async def test_everything_that_comes_out_of_the_store_is_plain() -> None:
    """What lost a race, what a watch tells of before and after, and what lies at an old revision."""
    clock = WallClock()
    inner = MemoryStore(clock)
    text = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
    text += f"resources: [{{resources: ['*.*'], providers: [{{{keyed('aesgcm', 'one')}}}]}}]"
    store = EncryptedStore(inner, parse_configuration(text, clock.random))
    key = "/registry/apps/deployments/a/b"
    await store.txn((), [Put(key, b"1"), Put("/kaa/turn", b"not an object")])
    await store.txn([Compare(key, 1)], [Put(key, b"2")])
    lost = await store.txn([Compare(key, 1)], [Put(key, b"3")])
    assert [kv and kv.value for kv in lost.current] == [b"2"]
    assert [kv.value for kv in (await store.range("/registry/", revision=1)).items] == [b"1"]
    async with aclosing(store.watch("/registry/", 2)) as watch:
        (event,) = await anext(watch)
    assert [kv and kv.value for kv in (event.previous, event.current)] == [b"1", b"2"]
    stored, other = await inner.get(key), await inner.get("/kaa/turn")
    assert stored is not None
    assert stored.value.startswith(b"k8s:enc:aesgcm:v1:one:")
    assert other is not None
    assert other.value == b"not an object"
    await store.close()


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """It is read before anything is opened."""
    (tmp_path / "bad.yaml").write_text("kind: EncryptionConfiguration")
    options = ServerOptions(data_dir=tmp_path, encryption_provider_config=tmp_path / "bad.yaml")
    with pytest.raises(BadConfiguration, match=r"bad\.yaml: must have apiVersion"):
        encryption_of(options, WallClock())
