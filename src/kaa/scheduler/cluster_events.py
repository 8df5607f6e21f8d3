"""What happens in the cluster that can make a pod schedulable which was not.

A plugin names the *concerns* whose events can change its mind: a `ClusterEvent` for nodes and pods, or a kind's name
for any change of an object of that kind. With each goes a *hint*: a function that says whether this very event can
help this very pod, so that a node which is still too small does not wake ten thousand pods.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from kaa.api.objects import Object
from kaa.scheduler.pod_info import PodInfo


class ClusterEvent(Enum):
    NODE_ADDED = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()  # or cordoned, or no longer
    POD_WAITING = auto()  # a pod without a node came: a gang may be complete
    POD_BOUND = auto()  # some pods want to be near others
    POD_CHANGED = auto()  # a bound pod has other labels, or requests less
    POD_GONE = auto()
    NAMESPACE_CHANGED = auto()
    PLUGIN_CHANGED = auto()  # its file was loaded again


Concern: TypeAlias = ClusterEvent | str
"""What an event is about; a str is a kind as `Client.resource` takes it, e.g. `PersistentVolumeClaim`."""


@dataclass(frozen=True, slots=True)
class Event:
    """`old` and `new` are the object before and after; of pods there is `pod` instead, as it is now or was last."""

    about: Concern
    old: Object | None = None
    new: Object | None = None
    pod: PodInfo | None = None


Hint: TypeAlias = Callable[[PodInfo, Event], bool]
"""Whether the event can help the pod that was rejected. In doubt, yes."""


def gives_up(event: Event) -> bool:
    """Whether a pod of a gang gave its place back before it was bound."""
    pod = event.pod
    return event.about is ClusterEvent.POD_GONE and pod is not None and not pod.node_name and bool(pod.scheduling_group)


def gives_up_with(pod: PodInfo, event: Event) -> bool:
    """Of the same gang: the room that is left is no news, for the gang has just been found not to fit into it."""
    other = event.pod
    if other is None or not gives_up(event):
        return False
    return other.namespace == pod.namespace and other.scheduling_group == pod.scheduling_group


def always(pod: PodInfo, event: Event) -> bool:
    return True


def helped_by(*concerns: Concern) -> Mapping[Concern, Hint]:
    """Any such event may help."""
    return dict.fromkeys(concerns, always)
