"""What a plugin is: a row of functions, each of which is asked at one point of a pod's way to its node.

    enqueue     may this pod be tried at all?                    (SchedulingGates)
    pre_reject  is it hopeless, or hopeless but for a few nodes? asked of all plugins before any `reject`
    reject      which rows of the snapshot will not do, and why?
    score       how good is each row, 0..100?
    post_filter when no row is left: what could be done about it? (DefaultPreemption)
    reserve     the node is chosen: take what the pod needs there; `unreserve` gives it back if anything fails later
    permit      go on, wait for others (gangs), or refuse
    pre_bind    what must be written before the binding          (volumes)
    bind        write the binding                                 (DefaultBinder, when no plugin does)

Up to `permit` all is synchronous: it happens between two changes of the snapshot, and copies nothing. `pre_bind` and
`bind` are awaited, many pods at once. A plugin that has nothing to say to a pod yields nothing or answers None. What
must know its arguments is made by a `Factory`: arguments in, row out.

A plugin says of its answers what they depend on (`depends`), so that pods that are alike share them, and which events
can make it change its mind (`helped_by`), so that a pod which it rejected is tried again then and not before.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from kaa.api.objects import Object
from kaa.client.events import EventRecorder
from kaa.client.rest import Client
from kaa.lib.clock import Clock
from kaa.scheduler.cluster_events import Concern, Hint
from kaa.scheduler.derived import Ints, Rows, Scores
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot, View
from kaa.scheduler.trace import Trace

if TYPE_CHECKING:  # only for annotations: it needs what is here
    from kaa.scheduler.permits import Permits

MAX_SCORE = 100.0


@dataclass(frozen=True, slots=True)
class Rejection:
    """`resolvable`: taking other pods off the node could help. `whole_pod`: the pod itself is at fault (a claim that
    does not exist), not so many nodes: people are told the reason without a count.
    """

    rows: Rows
    reason: str
    resolvable: bool = True
    whole_pod: bool = False


def reject_pod(snapshot: Snapshot, reason: str, *, resolvable: bool = False) -> Rejection:
    """No node will do, for a reason that is the pod's."""
    return Rejection(snapshot.present, reason, resolvable, whole_pod=True)


@dataclass(frozen=True, slots=True)
class Nomination:
    """A node that the pod could go to once `victims` are gone from it. `node_name` "": there is none, and one that the
    pod was nominated to before is none any more; None: nothing changes. `message` goes into what people are told.
    """

    message: str = ""
    node_name: str | None = None
    victims: tuple[PodInfo, ...] = ()


class Refused(Exception):
    """Raised by `reserve`, `permit`, `pre_bind` and `bind`: not on this node, or not now. The pod is tried again."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a plugin may use from `reserve` on. `view` has the kinds that any plugin names in `reads`."""

    client: Client
    clock: Clock
    view: View
    recorder: EventRecorder
    permits: "Permits"
    uncounted: Callable[[Awaitable[None]], Awaitable[None]]
    """For what a plugin waits for in `pre_bind`: meanwhile the pod takes no place among the writes under way."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A pod on its way to the node that was chosen. `state` is the plugins' own, by their names, for this one way."""

    pod: PodInfo
    node_name: str
    snapshot: Snapshot
    context: Context
    state: dict[str, Any] = field(default_factory=dict)


class Depends(Enum):
    """On what a plugin's answers for one pod, and for all that are like it, depend."""

    NODES = auto()  # the nodes alone: labels, taints, allocatable, images; a score also on which are feasible
    NODE_AND_ITS_PODS = auto()  # each row's on that node and its pods alone; none is rejected for lack of pods
    EVERYTHING = auto()


Enqueue: TypeAlias = Callable[[PodInfo, View], str | None]
"""The reason why the pod may not be tried yet."""
Reject: TypeAlias = Callable[[PodInfo, Snapshot], Iterator[Rejection]]
Score: TypeAlias = Callable[[PodInfo, Snapshot, Rows], Scores | None]
"""`rows` are the feasible ones; the others' scores do not count. None: nothing to say about this pod."""
PostFilter: TypeAlias = Callable[[PodInfo, Snapshot, Sequence["Plugin"], Trace], Nomination]
Reserve: TypeAlias = Callable[[Placement], None]
Permit: TypeAlias = Callable[[Placement], float | None]
"""None: go on. Seconds: wait at most so long until `context.permits` lets the pod go on."""
Unplaced: TypeAlias = Callable[[PodInfo, Context], None]
"""The pod has no node, nor is one being made free for it: what waits for it may be given up."""
PreBind: TypeAlias = Callable[[Placement], Awaitable[None]]
Bind: TypeAlias = Callable[[Placement], Awaitable[bool]]
"""False: somebody else is to bind this pod."""


WRITE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """`reads` are kinds whose objects it looks up in `snapshot.view`; those that `helped_by` names are read, too.
    Those in `optional` not every server has, or lets us see: asking the view for one is a KeyError then.
    `indexes` are of such kinds: (kind, index) to the keys of an object.

    `foreign`: not ours, and so not trusted: `pre_reject`, `reject`, `score`, `post_filter` are asked on another thread
    and given up after `limit_seconds` for one decision, and the answers are checked. The other functions are called on
    the event loop and must be quick; `pre_bind` and `bind` are awaited for WRITE_SECONDS at most.
    """

    name: str
    enqueue: Enqueue | None = None
    pre_reject: Reject | None = None
    reject: Reject | None = None
    score: Score | None = None
    weight: int = 1
    post_filter: PostFilter | None = None
    reserve: Reserve | None = None
    unreserve: Reserve | None = None
    permit: Permit | None = None
    unplaced: Unplaced | None = None
    pre_bind: PreBind | None = None
    bind: Bind | None = None
    depends: Depends = Depends.EVERYTHING
    helped_by: Mapping[Concern, Hint] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    indexes: Mapping[tuple[str, str], Callable[[Object], Iterable[str]]] = field(default_factory=dict)
    foreign: bool = False
    limit_seconds: float = 1.0


Factory: TypeAlias = Callable[[Mapping[str, Any]], Plugin]
"""Makes the row for the arguments of a KubeSchedulerConfiguration's `pluginConfig`; `{}` are the defaults."""


ALWAYS_WATCHED = frozenset({"Namespace", "Node", "Pod"})


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins for the pods of one `schedulerName`, in the order in which they are asked."""

    name: str
    plugins: tuple[Plugin, ...]

    @property
    def limit_seconds(self) -> float:
        """How long one decision may take because of foreign plugins; 0 when there are none."""
        return sum(plugin.limit_seconds for plugin in self.plugins if plugin.foreign)

    @property
    def kinds(self) -> frozenset[str]:
        """What the plugins want to be told of, apart from pods and nodes."""
        named = {concern for plugin in self.plugins for concern in plugin.helped_by if isinstance(concern, str)}
        return frozenset(named.union(*(plugin.reads for plugin in self.plugins))) - ALWAYS_WATCHED


def normalize(scores: Scores | Ints, rows: Rows, *, reverse: bool = False) -> Scores:
    """To 0..100, the highest among `rows` being 100; `reverse`: the lowest is best."""
    highest = float(scores[rows].max()) if rows.any() else 0.0
    if highest == 0:
        return np.full(len(scores), MAX_SCORE if reverse else 0.0)
    scaled: Scores = np.floor(scores * MAX_SCORE / highest)
    return MAX_SCORE - scaled if reverse else scaled
