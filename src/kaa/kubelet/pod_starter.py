"""Carrying out what starts things: a pod's sandbox, and one container with its image, configuration and hook."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.transport import TransportError
from kaa.cri.cri import Message, RuntimeFault
from kaa.kubelet.container_config import (
    Prepared,
    container_config,
    pod_log_directory,
    sandbox_config,
)
from kaa.kubelet.environment import ConfigError, environment, service_variables
from kaa.kubelet.field_ref import PodFacts
from kaa.kubelet.handlers import Target, run_hook
from kaa.kubelet.hosts_file import host_network_hosts_file, hosts_file
from kaa.kubelet.machinery import Machinery, unless
from kaa.kubelet.pod_actions import StartContainer
from kaa.kubelet.pod_runtime import PodRuntime
from kaa.kubelet.pod_spec import container_named, grace_seconds, uses_host_network
from kaa.kubelet.security_context import check_non_root
from kaa.kubelet.start_failure import StartFailure
from kaa.kubelet.volume_manager import mount_sources
from kaa.kubelet.volumes.volume import told

CREATE_CONFIG_ERROR = "CreateContainerConfigError"
CREATE_ERROR = "CreateContainerError"
RUN_ERROR = "RunContainerError"
POST_START_ERROR = "PostStartHookError"
SANDBOX_ERROR = "FailedCreatePodSandBox"


def pod_facts(machinery: Machinery, pod: Object, ips: tuple[str, ...]) -> PodFacts:
    return PodFacts(
        pod=pod,
        pod_ips=machinery.host_ips if uses_host_network(pod) else ips,
        host_ips=machinery.host_ips,
        node_name=machinery.options.node_name,
        allocatable=(machinery.node().get("status") or {}).get("allocatable") or {},
    )


async def create_sandbox(machinery: Machinery, pod: Object, attempt: int) -> None:
    """Raises StartFailure, told as an event."""
    config = sandbox_config(pod, attempt, machinery.node_facts)
    (machinery.node_facts.pod_log_dir / pod_log_directory(pod)).mkdir(parents=True, exist_ok=True)
    try:
        handler = await _runtime_handler(machinery, pod)
        async with machinery.starting:
            await machinery.runtime.run_pod_sandbox({"config": config, "runtime_handler": handler})
    except (RuntimeFault, ConfigError) as fault:
        machinery.events.pod(pod, "Warning", SANDBOX_ERROR, f"Failed to create pod sandbox: {fault}")
        raise StartFailure(SANDBOX_ERROR, str(fault)) from fault


async def _runtime_handler(machinery: Machinery, pod: Object) -> str:
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return ""
    found = await machinery.objects.get("RuntimeClass", "", name)
    if found is None:
        raise ConfigError(f'runtimeclass.node.k8s.io "{name}" not found')
    handler: str = found["handler"]
    return handler


async def start_container(
    machinery: Machinery,
    pod: Object,
    action: StartContainer,
    seen: PodRuntime,
    volumes: dict[str, Path],
    ending: asyncio.Event,
) -> None:
    """Raises StartFailure with the container's waiting reason; Interrupted when `ending` is set on the way."""
    named = container_named(pod, action.name)
    assert named is not None
    assert seen.sandbox is not None
    container, sandbox_id = named[1], seen.sandbox.id
    if action.counts:
        machinery.delays.count((pod["metadata"]["uid"], action.name), machinery.clock.now())
    config = sandbox_config(pod, seen.sandbox.attempt, machinery.node_facts)
    image = await unless(ending, machinery.images.ensure(pod, container, config))
    image_volumes = await unless(ending, _pull_image_volumes(machinery, pod, container, config))
    try:
        check_non_root(pod, container, image)
        prepared = await _prepare(machinery, pod, container, action, seen, volumes, image, image_volumes)
    except (ConfigError, APIError, TransportError, OSError) as error:
        raise _failed(machinery, pod, action.name, CREATE_CONFIG_ERROR, told(error)) from error
    (machinery.node_facts.pod_log_dir / pod_log_directory(pod) / action.name).mkdir(parents=True, exist_ok=True)
    wanted = container_config(pod, container, action.attempt, prepared, machinery.node_facts)
    async with machinery.starting:
        container_id = await _create(machinery, pod, action.name, sandbox_id, wanted, config)
        await _start(machinery, pod, action.name, container_id)
    await _post_start(machinery, pod, container, container_id, seen, ending)


async def _pull_image_volumes(machinery: Machinery, pod: Object, container: Object, config: Message) -> dict[str, str]:
    """The images that the container has as volumes, by volume name, as pulled. Raises StartFailure."""
    sources = {v["name"]: v["image"] for v in pod["spec"].get("volumes") or () if "image" in v}
    pulled: dict[str, str] = {}
    for mount in container.get("volumeMounts") or ():
        source = sources.get(mount["name"])
        if source is not None and mount["name"] not in pulled:
            wanted = {"image": source.get("reference", ""), "imagePullPolicy": source.get("pullPolicy", "")}
            image = await machinery.images.ensure(pod, {"name": container["name"], **wanted}, config)
            pulled[mount["name"]] = image["id"]
    return pulled


async def _create(
    machinery: Machinery, pod: Object, name: str, sandbox_id: str, wanted: Message, config: Message
) -> str:
    try:
        answer = await machinery.runtime.create_container(
            {"pod_sandbox_id": sandbox_id, "config": wanted, "sandbox_config": config}
        )
    except RuntimeFault as fault:
        raise _failed(machinery, pod, name, CREATE_ERROR, fault.message) from fault
    machinery.events.container(pod, name, "Normal", "Created", "Container created")
    container_id: str = answer["container_id"]
    return container_id


async def _start(machinery: Machinery, pod: Object, name: str, container_id: str) -> None:
    try:
        await machinery.runtime.start_container({"container_id": container_id})
    except RuntimeFault as fault:
        raise _failed(machinery, pod, name, RUN_ERROR, fault.message) from fault
    machinery.events.container(pod, name, "Normal", "Started", "Container started")


def _failed(machinery: Machinery, pod: Object, name: str, reason: str, message: str) -> StartFailure:
    machinery.events.container(pod, name, "Warning", "Failed", f"Error: {message}")
    return StartFailure(reason, message)


async def _prepare(
    machinery: Machinery,
    pod: Object,
    container: Object,
    action: StartContainer,
    seen: PodRuntime,
    volumes: dict[str, Path],
    image: Message,
    image_volumes: dict[str, str],
) -> Prepared:
    # Before the services are known a container would start without the variables that it may rely on.
    await machinery.services.wait_synced()
    facts = pod_facts(machinery, pod, seen.ips)
    variables = await environment(
        facts, container, machinery.objects, service_variables(machinery.services.list(), pod)
    )
    directory = machinery.volumes.pod_directory(pod["metadata"]["uid"])
    target = seen.latest(container["targetContainerName"]) if container.get("targetContainerName") else None
    return Prepared(
        image_ref=image["id"],
        environment=variables,
        mount_sources=mount_sources(container, volumes, variables, image_volumes),
        hosts_path=_write_hosts(machinery, pod, directory, facts.pod_ips),
        termination_path=_termination_file(directory, action),
        target_id=target.id if target is not None else "",
        image_volumes=image_volumes,
    )


def _write_hosts(machinery: Machinery, pod: Object, directory: Path, ips: tuple[str, ...]) -> Path:
    path = directory / "etc-hosts"
    path.parent.mkdir(parents=True, exist_ok=True)
    if uses_host_network(pod):
        node_file = machinery.options.hosts_file
        text = host_network_hosts_file(pod, node_file.read_text() if node_file.exists() else "")
    else:
        text = hosts_file(pod, ips, machinery.options.cluster_domain)
    path.write_text(text)
    path.chmod(0o644)
    return path


def _termination_file(directory: Path, action: StartContainer) -> Path:
    path = directory / "containers" / action.name / str(action.attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    path.chmod(0o666)  # the container's user is not known here
    return path


async def _post_start(
    machinery: Machinery,
    pod: Object,
    container: Object,
    container_id: str,
    seen: PodRuntime,
    ending: asyncio.Event,
) -> None:
    hook: Mapping[str, Object] | None = (container.get("lifecycle") or {}).get("postStart")
    if not hook:
        return
    ip = next(iter(pod_facts(machinery, pod, seen.ips).pod_ips), "")
    target = Target(container_id, container, ip)
    # Upstream gives the hook no limit of its own; a container's grace period is what it would get when stopped.
    limit_seconds = float(grace_seconds(pod) or 1)
    running = run_hook(machinery.clock, machinery.handlers, "postStart", target, dict(hook), limit_seconds)
    result = await unless(ending, running)
    if result.succeeded:
        return
    message = f"PostStartHook failed: {result.output}" if result.output else "PostStartHook failed"
    machinery.events.container(pod, container["name"], "Warning", "FailedPostStartHook", message)
    await machinery.runtime.stop_container({"container_id": container_id, "timeout": grace_seconds(pod)})
    raise StartFailure(POST_START_ERROR, message)
