"""From a file's text to an object of known fields and types; what is unknown or of the wrong type is an error."""

from functools import cache
from importlib.resources import files
from typing import Any

from kaa.api.conform import Conformer
from kaa.api.objects import Object
from kaa.api.schema import Definition, Schema
from kaa.api.yaml_json import parse_yaml
from kaa.scheduler.config import BadConfiguration

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"


@cache
def _schema() -> Schema:
    """With the API's own types, which some arguments contain."""
    builtin = files("kaa.api.generated").joinpath("schema.txt").read_text()
    return Schema(builtin.rstrip("\n") + "\n\n" + files(__package__).joinpath("schema.txt").read_text())


@cache
def _conformer() -> Conformer:
    return Conformer(_schema())


def decode_configuration(text: str) -> Object:
    try:
        value, repeated = parse_yaml(text.encode())
    except ValueError as error:
        raise BadConfiguration(str(error)) from None
    if repeated:
        raise BadConfiguration("strict decoding error: " + ", ".join(repeated))
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("apiVersion") != API_VERSION:
        said = value if isinstance(value, dict) else {}
        stated = f'kind "{said.get("kind", "")}" in version "{said.get("apiVersion", "")}"'
        raise BadConfiguration(f"no kind {stated} is registered: expected {KIND} in {API_VERSION}")
    decoded = _decode(f"{API_VERSION}/{KIND}", value)
    for i, profile in enumerate(decoded.get("profiles") or ()):
        for j, config in enumerate(profile.get("pluginConfig") or ()):
            config["args"] = decode_arguments(config["name"], config.get("args"), f".profiles[{i}].pluginConfig[{j}]")
    return decoded


def decode_arguments(plugin: str, value: Any, where: str) -> Object:
    """A plugin's own arguments. What is said for a plugin that we have no type for is handed on as it is."""
    kind = f"{plugin}Args"
    definition = _schema().for_kind(API_VERSION, kind)
    args = {} if value is None else value
    if not isinstance(args, dict):
        raise BadConfiguration(f"decoding {where}: decoding args for plugin {plugin}: must be an object")
    if definition is None:
        return args
    stated = args.get("kind", kind)
    if stated != kind:
        raise BadConfiguration(f"decoding {where}: args for plugin {plugin} were not of type {kind}, got {stated}")
    try:
        return _conform(definition, args)
    except BadConfiguration as error:
        raise BadConfiguration(f"decoding {where}: decoding args for plugin {plugin}: {error}") from None


def _decode(kind: str, value: Object) -> Object:
    version, _, name = kind.rpartition("/")
    definition = _schema().for_kind(version, name)
    assert definition is not None
    return _conform(definition, value)


def _conform(definition: Definition, value: Object) -> Object:
    try:
        conformed, has_unknown = _conformer().conform(definition, value)
    except ValueError as error:
        raise BadConfiguration(str(error)) from None
    if has_unknown:
        unknown = _conformer().unknown_fields(definition, value)
        raise BadConfiguration("strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown))
    result: Object = conformed
    return result
