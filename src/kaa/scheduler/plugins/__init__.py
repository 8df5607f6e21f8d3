"""The scheduler's plugins, a file each. A new plugin is one file and one entry here."""

from kaa.scheduler.framework import Plugin
from kaa.scheduler.plugins import (
    default_preemption,
    image_locality,
    inter_pod_affinity,
    node_affinity,
    node_name,
    node_ports,
    node_resources_balanced,
    node_resources_fit,
    node_unschedulable,
    pod_topology_spread,
    taint_toleration,
    unsupported,
)

PLUGINS: tuple[Plugin, ...] = (
    unsupported.PLUGIN,
    node_unschedulable.PLUGIN,
    node_name.PLUGIN,
    taint_toleration.PLUGIN,
    node_affinity.PLUGIN,
    node_ports.PLUGIN,
    node_resources_fit.PLUGIN,
    pod_topology_spread.PLUGIN,
    inter_pod_affinity.PLUGIN,
    node_resources_balanced.PLUGIN,
    image_locality.PLUGIN,
    default_preemption.PLUGIN,
)
"""In upstream's order: a node counts for the reasons of the first that rejects it."""
