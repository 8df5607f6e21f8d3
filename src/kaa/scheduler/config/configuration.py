"""`read_configuration`: a KubeSchedulerConfiguration file, ready to be run.

    apiVersion: kubescheduler.config.k8s.io/v1
    kind: KubeSchedulerConfiguration
    profiles:
      - schedulerName: packing
        pluginConfig:
          - name: NodeResourcesFit
            args: {scoringStrategy: {type: MostAllocated}}

`percentageOfNodesToScore`, `parallelism` and what concerns profiling, leader election and the connection is accepted
and has no effect: all nodes are looked at, in one pass. Extenders are not asked about preemption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from kaa.api.objects import Object
from kaa.lib.backoff import Backoff
from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.config.decoding import decode_configuration
from kaa.scheduler.config.installed import installed_factories
from kaa.scheduler.config.profiles import build_profile
from kaa.scheduler.config.validation import validate
from kaa.scheduler.extender import Extender
from kaa.scheduler.framework import Factory, Plugin, Profile
from kaa.scheduler.plugin_files import PluginFile
from kaa.scheduler.plugins import FACTORIES

FILE_ARGUMENT = "file"
"""In the arguments of a plugin that is neither built in nor installed: the Python file that has it."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """`files` are to be watched: their plugins follow them."""

    profiles: tuple[Profile, ...]
    backoff: Backoff
    files: tuple[PluginFile, ...] = ()


def read_configuration(path: Path | None, plugin_paths: Sequence[Path] = ()) -> Configuration:
    """`plugin_paths` are enabled in every profile. Raises BadConfiguration."""
    try:
        text = path.read_text() if path is not None else None
    except OSError as error:
        raise BadConfiguration(f"{path}: {error.strerror}") from None
    decoded = decode_configuration(text) if text is not None else {}
    directory = path.parent if path is not None else Path()
    return configure(decoded, directory, plugin_paths)


def with_absolute_files(path: Path) -> str:
    """The same configuration for a file that lies somewhere else."""
    decoded = decode_configuration(path.read_text())
    for profile in decoded.get("profiles") or ():
        for config in profile.get("pluginConfig") or ():
            if (where := _file_of(config)) is not None:
                config["args"][FILE_ARGUMENT] = str((path.parent / where).resolve())
    return orjson.dumps(decoded, option=orjson.OPT_INDENT_2).decode()


def configure(decoded: Object, directory: Path, plugin_paths: Sequence[Path] = ()) -> Configuration:
    problems = list(validate(decoded))
    if problems:
        texts = [str(problem) for problem in problems]
        raise BadConfiguration(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    given = decoded.get("profiles") or [{}]
    files = [PluginFile(path) for path in plugin_paths]
    named = {file.plugin.name: file for file in files}
    for config in (config for profile in given for config in profile.get("pluginConfig") or ()):
        if (where := _file_of(config)) is not None and config["name"] not in named:
            named[config["name"]] = PluginFile(directory / where, config["name"], config["args"])
    factories: dict[str, Factory] = {**installed_factories(), **FACTORIES}
    factories |= {name: _always(file.plugin) for name, file in named.items()}
    extenders = [Extender(settings) for settings in decoded.get("extenders") or ()]
    everywhere = [file.plugin for file in files] + [extender.plugin for extender in extenders]
    ignored = frozenset(name for extender in extenders for name in extender.ignored_resources)
    profiles = (_with_ignored(profile, ignored) for profile in given)
    built = (build_profile(profile, factories) for profile in profiles)
    return Configuration(
        tuple(replace(profile, plugins=_with(profile.plugins, everywhere)) for profile in built),
        Backoff(
            initial_seconds=float(decoded.get("podInitialBackoffSeconds", 1)),
            limit_seconds=float(decoded.get("podMaxBackoffSeconds", 10)),
        ),
        tuple(named.values()),
    )


def _always(plugin: Plugin) -> Factory:
    def make(args: Mapping[str, Any]) -> Plugin:
        return plugin

    return make


def _file_of(config: Object) -> str | None:
    if config["name"] in FACTORIES:
        return None
    where: str | None = config["args"].get(FILE_ARGUMENT)
    return where


def _with(plugins: Sequence[Plugin], more: Sequence[Plugin]) -> tuple[Plugin, ...]:
    """Each once."""
    names = {plugin.name for plugin in plugins}
    return (*plugins, *(plugin for plugin in more if plugin.name not in names))


def _with_ignored(profile: Object, resources: frozenset[str]) -> Object:
    """What extenders look after alone, NodeResourcesFit leaves alone."""
    if not resources:
        return profile
    configs = [dict(config) for config in profile.get("pluginConfig") or ()]
    fit = next((config for config in configs if config["name"] == "NodeResourcesFit"), None)
    if fit is None:
        fit = {"name": "NodeResourcesFit", "args": {}}
        configs.append(fit)
    fit["args"] = {
        **fit["args"],
        "ignoredResources": [*(fit["args"].get("ignoredResources") or ()), *sorted(resources)],
    }
    return {**profile, "pluginConfig": configs}
