"""What a simulated cluster is made of, before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kaa.controllers import Options

ClockName = Literal["wall", "virtual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`nodes` is a number (then they are node-1, node-2, ...) or their names.

    `controllers` may be the controllers' options; False leaves them out, and `scheduler` and `nodes` can be left out
    as well: what remains is an API server and nobody beside it. `seed` decides all chance but keys.
    """

    nodes: int | Sequence[str] = 1
    clock: ClockName = "wall"
    seed: int = 0
    controllers: bool | Options = True
    scheduler: bool = True

    def __post_init__(self) -> None:
        if self.clock not in ("wall", "virtual"):
            raise ValueError(f'clock is "wall" or "virtual", not {self.clock!r}')

    @property
    def is_virtual(self) -> bool:
        return self.clock == "virtual"

    @property
    def node_names(self) -> list[str]:
        if isinstance(self.nodes, int):
            return [f"node-{number}" for number in range(1, self.nodes + 1)]
        return list(self.nodes)
