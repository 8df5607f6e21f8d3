"""SchedulingGates: a pod is not tried while somebody holds a gate on it."""

from kaa.scheduler.framework import Plugin
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import View


def enqueue(pod: PodInfo, view: View) -> str | None:
    return f"waiting for scheduling gates: [{' '.join(pod.gates)}]" if pod.gates else None


PLUGIN = Plugin(name="SchedulingGates", enqueue=enqueue)
