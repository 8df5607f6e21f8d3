"""What a simulated cluster is made of, before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from kaa.api.validation.names import dns_subdomain
from kaa.cluster.simulation.history import HISTORY_BYTES
from kaa.lib.clock import VIRTUAL_EPOCH

if TYPE_CHECKING:
    from kaa.controllers import Options  # all controllers come with it

ClockName = Literal["wall", "virtual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`nodes` is a number (then they are node-1, node-2, ...) or their names.

    With `light_nodes` one component plays kubelet for all of them: for thousands of nodes, whose pods run no programs.
    `controllers` may be the controllers' options; False leaves them out, and `scheduler` and `nodes` can be left out
    as well: what remains is an API server and nobody beside it. `seed` decides all chance; keys only on virtual time.
    `starts_at` is when virtual time begins. `history_bytes` bounds what is kept of the past.
    """

    nodes: int | Sequence[str] = 1
    light_nodes: bool = False
    clock: ClockName = "wall"
    seed: int = 0
    controllers: "bool | Options" = True
    scheduler: bool = True
    starts_at: datetime = VIRTUAL_EPOCH
    history_bytes: int = HISTORY_BYTES

    def __post_init__(self) -> None:
        if self.clock not in ("wall", "virtual"):
            raise ValueError(f'clock is "wall" or "virtual", not {self.clock!r}')
        if isinstance(self.nodes, str) or (isinstance(self.nodes, int) and self.nodes < 0):
            raise ValueError(f"nodes is a number of nodes or a list of their names, not {self.nodes!r}")
        for name in self.node_names:
            if problems := dns_subdomain(name):
                raise ValueError(f"{name!r} cannot be a node's name: {problems[0]}")
        if len(set(self.node_names)) < len(self.node_names):
            raise ValueError(f"two nodes have the same name: {self.node_names}")
        if self.starts_at.tzinfo is None:
            raise ValueError("starts_at needs a time zone")

    @property
    def is_virtual(self) -> bool:
        return self.clock == "virtual"

    @property
    def node_names(self) -> list[str]:
        if isinstance(self.nodes, int):
            return [f"node-{number}" for number in range(1, self.nodes + 1)]
        return list(self.nodes)
