"""All that the plugins said of one pod: a decision is made of it, and people are told from it why it was made."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kaa.scheduler.derived import Rows, Scores


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rows that were out for one plugin's reason."""

    plugin: str
    reason: str
    rows: Rows
    resolvable: bool
    whole_pod: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """What one plugin said of every row; only the feasible ones count."""

    plugin: str
    weight: int
    scores: Scores


@dataclass(slots=True)
class Trace:
    """`names[row]` is the node of that row at the time, "" where there is none."""

    names: Sequence[str]
    present: Rows
    feasible: Rows
    refusals: list[Refusal] = field(default_factory=list)
    scores: list[Scored] = field(default_factory=list)

    @property
    def plugins(self) -> frozenset[str]:
        """Those that rejected a node, and so whose events can help."""
        return frozenset(refusal.plugin for refusal in self.refusals)
