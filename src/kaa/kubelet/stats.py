"""The runtime's statistics as others read them: /stats/summary, and metrics in the Prometheus text format. Pure."""

from collections.abc import Iterable

from kaa.api.objects import Object
from kaa.cri.cri import Message
from kaa.kubelet import pod_runtime
from kaa.kubelet.pod_runtime import moment
from kaa.lib.clock import rfc3339


def _value(message: Message | None, field: str) -> int:
    return int(((message or {}).get(field) or {}).get("value", 0))


def _labels(stats: Message) -> dict[str, str]:
    labels = stats["attributes"].get("labels") or {}
    return {
        "container": labels.get(pod_runtime.CONTAINER_NAME_LABEL, ""),
        "namespace": labels.get(pod_runtime.POD_NAMESPACE_LABEL, ""),
        "pod": labels.get(pod_runtime.POD_NAME_LABEL, ""),
        "uid": labels.get(pod_runtime.POD_UID_LABEL, ""),
    }


def summary(node_name: str, container_stats: Iterable[Message]) -> Object:
    """The kubelet's Summary object: containers by pod, with cpu and memory."""
    pods: dict[str, Object] = {}
    for stats in container_stats:
        labels = _labels(stats)
        reference = {"name": labels["pod"], "namespace": labels["namespace"], "uid": labels["uid"]}
        pod = pods.setdefault(labels["uid"], {"podRef": reference, "containers": []})
        pod["containers"].append(
            {"name": labels["container"], "cpu": _cpu(stats.get("cpu")), "memory": _memory(stats.get("memory"))}
        )
    return {"node": {"nodeName": node_name}, "pods": list(pods.values())}


def _cpu(cpu: Message | None) -> Object:
    return {
        "time": _time(cpu),
        "usageNanoCores": _value(cpu, "usage_nano_cores"),
        "usageCoreNanoSeconds": _value(cpu, "usage_core_nano_seconds"),
    }


def _memory(memory: Message | None) -> Object:
    return {
        "time": _time(memory),
        "usageBytes": _value(memory, "usage_bytes"),
        "workingSetBytes": _value(memory, "working_set_bytes"),
        "rssBytes": _value(memory, "rss_bytes"),
    }


def _time(message: Message | None) -> str | None:
    at = moment((message or {}).get("timestamp", 0))
    return rfc3339(at) if at is not None else None


def resource_metrics(container_stats: Iterable[Message]) -> str:
    """/metrics/resource, which metrics-server reads."""
    cpu = ["# TYPE container_cpu_usage_seconds_total counter"]
    memory = ["# TYPE container_memory_working_set_bytes gauge"]
    for stats in container_stats:
        labels = _labels(stats)
        tags = ",".join(f'{name}="{labels[name]}"' for name in ("container", "namespace", "pod"))
        seconds = _value(stats.get("cpu"), "usage_core_nano_seconds") / 1e9
        cpu.append(f"container_cpu_usage_seconds_total{{{tags}}} {seconds}")
        used = _value(stats.get("memory"), "working_set_bytes")
        memory.append(f"container_memory_working_set_bytes{{{tags}}} {used}")
    return "\n".join([*cpu, *memory, "# TYPE resource_scrape_error gauge", "resource_scrape_error 0"]) + "\n"


def kubelet_metrics(pods: int, containers: int) -> str:
    """/metrics: what the kubelet itself has in hand."""
    lines = (
        "# TYPE kubelet_running_pods gauge",
        f"kubelet_running_pods {pods}",
        "# TYPE kubelet_running_containers gauge",
        f'kubelet_running_containers{{container_state="running"}} {containers}',
    )
    return "\n".join(lines) + "\n"
