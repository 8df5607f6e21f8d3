"""A scheduler with a plugin from a file, in a running cluster: the file changes, breaks and is mended."""

import os
from pathlib import Path
from typing import Any

from kaa import Cluster
from kaa.client.rest import Client
from kaa.cluster.simulation.component import Component, user_named
from kaa.lib.clock import Clock
from kaa.scheduler.config.configuration import read_configuration
from kaa.scheduler.loop import run_scheduler

CLOSED = """
from kaa.scheduler.framework import Plugin, Rejection

def reject(pod, snapshot):
    yield Rejection(snapshot.present, "node(s) were closed by hand", resolvable=False)

PLUGIN = Plugin(name="ByHand", reject=reject)
"""
OPEN = CLOSED.replace("snapshot.present", "snapshot.none()")


def write(path: Path, text: str, moment: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(moment, moment))


def pod(name: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "example/app:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def scheduler(path: Path) -> Component:
    async def run(client: Client, clock: Clock) -> None:
        await run_scheduler(client, clock, configuration=read_configuration(None, [path]))

    return Component("kube-scheduler", user_named("system:kube-scheduler"), run)


def reasons(c: Cluster) -> list[str]:
    return [event["reason"] for event in c.list("events", namespace="kube-system")]


def test_pods_follow_the_file(tmp_path: Path) -> None:
    """What it rejected is tried again with the new version, at once and not after minutes."""
    path = tmp_path / "by_hand.py"
    write(path, CLOSED, 1)
    with Cluster(nodes=1, clock="virtual", scheduler=False) as c:
        c.run(start(c, path))
        c.apply(pod("one"))
        c.run_for(10)
        conditions = c.get("pod", "one")["status"]["conditions"]
        assert conditions[0]["message"].startswith("0/1 nodes are available: 1 node(s) were closed by hand.")
        write(path, "PLUGIN = oops\n", 2)
        c.run_for(5)
        assert reasons(c) == ["PluginNotLoaded"]
        assert "nodeName" not in c.get("pod", "one")["spec"]
        write(path, OPEN, 3)
        c.run_for(20)
        assert reasons(c) == ["PluginNotLoaded", "PluginLoaded"]
        assert c.get("pod", "one")["spec"]["nodeName"]


async def start(c: Cluster, path: Path) -> None:
    c.world.add(scheduler(path))
