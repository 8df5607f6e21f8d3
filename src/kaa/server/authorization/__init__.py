"""Who may do what. Authorizers are rows, tried in order; the first that allows wins, and nobody forbids.

    system:masters -> node -> RBAC

What they find odd (a binding to a role that is not there) is added to the 403.
"""

from collections.abc import Sequence

from kaa.server.chain import Authorizer
from kaa.server.request import Attributes

MASTERS = "system:masters"


class Masters:
    """The group that may do everything, even with every role deleted: the way back into a broken cluster."""

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        return MASTERS in attributes.user.groups, ""


class Authorization:
    """The union of all rows: the `Authorizer` of the chain."""

    def __init__(self, rows: Sequence[Authorizer]) -> None:
        self._rows = tuple(rows)

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        reasons: list[str] = []
        for row in self._rows:
            allowed, reason = row.authorize(attributes)
            if allowed:
                return True, reason
            if reason:
                reasons.append(reason)
        return False, "\n".join(reasons)
