"""A day in a cluster's life: 20 CronJobs every five minutes, and 10 Deployments that are rolled over every hour.

    python -m tests.integration.simulation.virtual_day --seed 7 --hours 24 --nodes light --count 3

Prints one line of JSON: the digest of all that was written, how many changes that were, and the CPU it took.
"""

import argparse
import asyncio
import gc
import json
import time
from collections import Counter

from tests.integration.simulation.scenarios import job, pod_template, workload

from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.settings import Settings
from kaa.lib.clock import VirtualEventLoop

CRON_JOBS = 20
DEPLOYMENTS = 10


async def day(seed: int, hours: int, nodes: str, count: int = 1) -> dict[str, object]:
    """`nodes`: "real" kubelets on simulated machines, or "light" ones; as many as a cluster has by default."""
    settings = Settings(clock="virtual", seed=seed, nodes=count, light_nodes=nodes == "light", history_bytes=1 << 20)
    async with AsyncCluster(settings) as c:
        changes: Counter[str] = Counter()
        with c.world.history.listening(lambda step: count_change(changes, step.key)):
            await live(c, hours)
        return {"digest": c.world.history.digest(), "changes": changes.total(), "kinds": dict(changes.most_common(8))}


def count_change(changes: Counter[str], key: str) -> None:
    changes[key.split("/")[3]] += 1


async def live(c: AsyncCluster, hours: int) -> None:
    for number in range(CRON_JOBS):
        template = pod_template(f"cron-{number}", exit_after="20s")
        spec = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": job("", template)["spec"]}}
        metadata = {"name": f"cron-{number}"}
        await c.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})
    for hour in range(hours):
        for number in range(DEPLOYMENTS):
            name = f"web-{number}"
            await c.apply(workload("Deployment", name, pod_template(name, f"web:{hour}"), replicas=3))
        await c.run_for(hours=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--nodes", choices=("light", "real"), default="light")
    parser.add_argument("--count", type=int, default=1, help="how many nodes")
    chosen = parser.parse_args()
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)  # a collection looks at every object that is new, and finds next to nothing
    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        lived = runner.run(day(chosen.seed, chosen.hours, chosen.nodes, chosen.count))
    print(json.dumps({**lived, "cpu_seconds": round(time.process_time(), 2)}))


if __name__ == "__main__":
    main()
