"""The scheduler's plugins, a file each. A new plugin is one file and one entry here."""

from collections.abc import Mapping
from typing import Any

from kaa.scheduler.framework import Factory, Plugin
from kaa.scheduler.plugins import (
    default_preemption,
    dynamic_resources,
    gang_scheduling,
    image_locality,
    inter_pod_affinity,
    node_affinity,
    node_declared_features,
    node_name,
    node_ports,
    node_resources_balanced,
    node_resources_fit,
    node_unschedulable,
    node_volume_limits,
    pod_topology_spread,
    scheduling_gates,
    taint_toleration,
    volume_binding,
    volume_restrictions,
    volume_zone,
)


def as_it_is(plugin: Plugin) -> Factory:
    """For plugins that have no arguments."""

    def make(args: Mapping[str, Any]) -> Plugin:
        return plugin

    return make


FACTORIES: Mapping[str, Factory] = {
    "SchedulingGates": as_it_is(scheduling_gates.PLUGIN),
    "NodeName": as_it_is(node_name.PLUGIN),
    "NodeUnschedulable": as_it_is(node_unschedulable.PLUGIN),
    "TaintToleration": as_it_is(taint_toleration.PLUGIN),
    "NodeAffinity": node_affinity.make,
    "NodePorts": as_it_is(node_ports.PLUGIN),
    "NodeResourcesFit": node_resources_fit.make,
    "VolumeRestrictions": as_it_is(volume_restrictions.PLUGIN),
    "NodeVolumeLimits": as_it_is(node_volume_limits.PLUGIN),
    "VolumeBinding": volume_binding.make,
    "VolumeZone": as_it_is(volume_zone.PLUGIN),
    "PodTopologySpread": pod_topology_spread.make,
    "InterPodAffinity": inter_pod_affinity.make,
    "DynamicResources": as_it_is(dynamic_resources.PLUGIN),
    "DefaultPreemption": default_preemption.make,
    "NodeResourcesBalancedAllocation": node_resources_balanced.make,
    "ImageLocality": as_it_is(image_locality.PLUGIN),
    "NodeDeclaredFeatures": as_it_is(node_declared_features.PLUGIN),
    "GangScheduling": gang_scheduling.make,
}
"""All that are enabled by default, in upstream's order: a node counts for the reasons of the first that rejects it.

Two of upstream's are no rows: PrioritySort is how the queue sorts, and DefaultBinder what is done when no plugin binds.
"""

PLUGINS: tuple[Plugin, ...] = tuple(make({}) for make in FACTORIES.values())
"""With their default arguments."""
