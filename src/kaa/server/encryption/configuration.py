"""The EncryptionConfiguration file: which providers each resource has. Read once, at start.

    apiVersion: apiserver.config.k8s.io/v1
    kind: EncryptionConfiguration
    resources:
      - resources: [secrets, configmaps, pandas.awesome.example, "*.apps", "*.*"]
        providers:
          - aescbc: {keys: [{name: key1, secret: <base64 of 32 bytes>}]}
          - identity: {}

A resource has the providers of the first entry that names it. What no entry names is stored as it is.
"""

import base64
import binascii
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kaa.api.objects import Object
from kaa.server.encryption.providers import KEY_BYTES, KEYED, Identity, Provider

API_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1")

UNSUPPORTED = {
    "secretbox": "XSalsa20 is in no library that this server uses: use aesgcm",
    "kms": "external key services are not supported: use aesgcm or aescbc",
}
"""Upstream's other providers, and why they are not here."""


class BadConfiguration(Exception):
    """The file is not usable. The message is for a person."""


@dataclass(frozen=True, slots=True)
class Row:
    """One entry: (group, plural) pairs, "*" for any, and the providers of what they name; the first writes."""

    resources: tuple[tuple[str, str], ...]
    providers: tuple[Provider, ...]

    def names(self, group: str, plural: str) -> bool:
        return any(g in ("*", group) and p in ("*", plural) for g, p in self.resources)


@dataclass(frozen=True, slots=True)
class Configuration:
    rows: tuple[Row, ...]

    def providers(self, group: str, plural: str) -> tuple[Provider, ...]:
        """None at all: the resource is stored as it is."""
        return next((row.providers for row in self.rows if row.names(group, plural)), ())


def read_configuration(path: Path, rng: random.Random) -> Configuration:
    """Raises BadConfiguration."""
    try:
        return parse_configuration(path.read_text(), rng)
    except OSError as error:
        raise BadConfiguration(f"encryption configuration {path}: {error.strerror}") from None
    except BadConfiguration as error:
        raise BadConfiguration(f"encryption configuration {path}: {error}") from None


def parse_configuration(text: str, rng: random.Random) -> Configuration:
    """Raises BadConfiguration, with the path of what is wrong."""
    try:
        given: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        # YAML's own message shows the line, which may be a key.
        raise BadConfiguration("not YAML") from None
    is_one = isinstance(given, dict) and given.get("kind") == "EncryptionConfiguration"
    if not is_one or given.get("apiVersion") not in API_VERSIONS:
        raise BadConfiguration(f"must have apiVersion {API_VERSIONS[0]} and kind EncryptionConfiguration")
    return Configuration(tuple(_row(f"resources[{n}]", row, rng) for n, row in _items("resources", given)))


def _row(path: str, row: Object, rng: random.Random) -> Row:
    names = row.get("resources")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadConfiguration(f"{path}.resources: Required value: at least one resource is needed")
    providers = [
        provider
        for index, given in _items("providers", row, path)
        for provider in _providers(f"{path}.providers[{index}]", given, rng)
    ]
    resources = tuple(_resource(f"{path}.resources[{index}]", name) for index, name in enumerate(names))
    return Row(resources, tuple(providers))


def _resource(path: str, name: str) -> tuple[str, str]:
    """`secrets` is of the core group, `deployments.apps` of apps; `*.*` is everything, `*.` all of the core group."""
    plural, dot, group = name.partition(".")
    bad_wildcard = (plural == "*" and not dot) or ("*" in plural and plural != "*") or ("*" in group and name != "*.*")
    if not plural or "/" in name or bad_wildcard:
        raise BadConfiguration(f'{path}: Invalid value: "{name}": use <plural>, <plural>.<group>, *.<group> or *.*')
    return group, plural


def _providers(path: str, given: Object, rng: random.Random) -> Iterator[Provider]:
    """One for each key. Raises BadConfiguration."""
    if len(given) != 1:
        raise BadConfiguration(f"{path}: Invalid value: exactly one provider must be given")
    ((name, settings),) = given.items()
    path = f"{path}.{name}"
    if name == "identity":
        yield Identity()
    elif name in KEYED:
        settings = settings if isinstance(settings, dict) else {}
        for index, key in _items("keys", settings, path):
            yield KEYED[name](*_key(f"{path}.keys[{index}]", key), rng)
    else:
        supported = ", ".join(f'"{known}"' for known in ("identity", *KEYED))
        raise BadConfiguration(f"{path}: {UNSUPPORTED.get(name, f'Unsupported value: supported values: {supported}')}")


def _key(path: str, key: Object) -> tuple[str, bytes]:
    name, secret = key.get("name"), key.get("secret")
    if not isinstance(name, str) or not name or ":" in name:
        raise BadConfiguration(f"{path}.name: Invalid value: a name without colons is needed")
    try:
        decoded = base64.b64decode(secret if isinstance(secret, str) else "", validate=True)
    except binascii.Error:
        raise BadConfiguration(f"{path}.secret: Invalid value: secret is not base64") from None
    if len(decoded) not in KEY_BYTES:
        expected = " ".join(map(str, KEY_BYTES))
        raise BadConfiguration(
            f"{path}.secret: Invalid value: secret is not of the expected length, "
            f"got {len(decoded)}, expected one of [{expected}]"
        )
    return name, decoded


def _items(field: str, given: Object, parent: str = "") -> Sequence[tuple[int, Object]]:
    """The objects in a list that must have some. Raises BadConfiguration."""
    path = f"{parent}.{field}" if parent else field
    items = given.get(field)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise BadConfiguration(f"{path}: Required value: must be a list with at least one object")
    return list(enumerate(items))
