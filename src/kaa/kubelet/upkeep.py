"""The node's housekeeping: log rotation, image garbage collection, eviction. Each looks from time to time and acts."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from kaa.cri.cri import ImageService, RuntimeFault, RuntimeService
from kaa.kubelet import eviction, image_garbage, log_rotation
from kaa.kubelet.host import Host
from kaa.kubelet.node_status import MachineFacts, pressures
from kaa.kubelet.pod_runtime import POD_UID_LABEL
from kaa.kubelet.pod_worker import PodWorker
from kaa.lib.clock import Clock

log = logging.getLogger(__name__)

Workers = Callable[[], Iterable[PodWorker]]


async def rotate_logs(runtime: RuntimeService, clock: Clock, workers: Workers) -> None:
    while True:
        await clock.sleep(log_rotation.CHECK_SECONDS)
        running = [c for worker in workers() for c in worker.seen.containers if c.is_running and c.log_path]
        for container in running:
            try:
                await log_rotation.rotate(runtime, container.id, Path(container.log_path), clock.now())
            except (RuntimeFault, OSError) as error:
                log.warning("log of container %s not rotated: %s", container.name, error)


async def collect_images(runtime: RuntimeService, images: ImageService, clock: Clock, host: Host, root: Path) -> None:
    last_used: dict[str, datetime] = {}
    while True:
        await clock.sleep(image_garbage.CHECK_SECONDS)
        try:
            await _collect_images_once(runtime, images, clock.now(), host.facts(root), last_used)
        except (RuntimeFault, OSError) as error:
            log.warning("images not collected: %s", error)


async def _collect_images_once(
    runtime: RuntimeService,
    images: ImageService,
    now: datetime,
    facts: MachineFacts,
    last_used: dict[str, datetime],
) -> None:
    present = (await images.list_images({})).get("images") or []
    containers = (await runtime.list_containers({})).get("containers") or []
    in_use = {c.get(field, "") for c in containers for field in ("image_ref", "image_id")}
    for image in present:
        names = {image["id"], *(image.get("repo_digests") or ()), *(image.get("repo_tags") or ())}
        if names & in_use:
            in_use.add(image["id"])
            last_used[image["id"]] = now
        last_used.setdefault(image["id"], now)
    for gone in sorted(last_used.keys() - {image["id"] for image in present}):
        del last_used[gone]
    size, available = facts.disk_bytes, facts.disk_available_bytes
    for image_id in image_garbage.images_to_remove(present, in_use, last_used, size, available, now):
        log.info("removing unused image %s: the disk is filling up", image_id)
        await images.remove_image({"image": {"image": image_id}})


async def evict_pods(runtime: RuntimeService, clock: Clock, host: Host, root: Path, workers: Workers) -> None:
    """Ends at most one pod a look, so that what it frees is seen before the next one is chosen."""
    while True:
        await clock.sleep(eviction.CHECK_SECONDS)
        pressing = pressures(host.facts(root))
        resource = next((name for kind, name in eviction.RESOURCES.items() if pressing[kind]), None)
        if resource is None:
            continue
        try:
            usage = await _usage(runtime, resource)
        except RuntimeFault as fault:
            log.warning("usage of pods cannot be read: %s", fault.message)
            continue
        alive = {worker.uid: worker for worker in workers() if not worker.is_ending}
        chosen = eviction.victim([worker.pod for worker in alive.values()], usage, resource)
        if chosen is not None:
            alive[chosen["metadata"]["uid"]].fail("Evicted", eviction.eviction_message(resource))


async def _usage(runtime: RuntimeService, resource: str) -> dict[str, int]:
    """Bytes by pod uid."""
    used: dict[str, int] = {}
    for stats in (await runtime.list_container_stats({})).get("stats") or ():
        uid = (stats["attributes"].get("labels") or {}).get(POD_UID_LABEL, "")
        if resource == "memory":
            value = ((stats.get("memory") or {}).get("working_set_bytes") or {}).get("value", 0)
        else:
            value = ((stats.get("writable_layer") or {}).get("used_bytes") or {}).get("value", 0)
        used[uid] = used.get(uid, 0) + value
    return used
