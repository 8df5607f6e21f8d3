"""A cluster's state, kept: all that its store holds, and what time it was. In memory, and cheap: values are shared.

What components have in their heads is not in it. A cluster that begins with a snapshot is one whose machines were all
switched off and on at that moment: controllers list anew, nodes have lost their containers and start them again.
"""

from dataclasses import dataclass
from datetime import datetime

from kaa.store.log import Contents


@dataclass(frozen=True, slots=True)
class Snapshot:
    time: datetime
    revision: int
    contents: Contents
