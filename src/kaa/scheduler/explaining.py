"""Why a pod is where it is, or nowhere: its last decision, told as one object or as a table.

All of it is what the plugins said when the pod was decided on; nothing is asked again.

    pod, at       whom it is about, and when it was decided
    node          where it went, "" if nowhere; `message` says why not
    nodes         of each node: name, feasible, reasons [{plugin, reason}], scores [{plugin, weight, score}], total
    omitted       how many nodes are left out: the best come first, and then those that were out
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kaa.api.objects import Object
from kaa.lib.clock import rfc3339
from kaa.scheduler.decision_log import Kept, Node

NODES_SHOWN = 100
MAX_NODES_SHOWN = 100_000

CHOSEN, FEASIBLE = "chosen", "feasible"
NO_SCORE = "-"


class Explanation(dict[str, Any]):
    """The object; as text it is the table."""

    def __str__(self) -> str:
        return "\n".join(table(self))


def explanation(kept: Kept, limit: int = NODES_SHOWN) -> Object:
    """At most `limit` of the nodes."""
    nodes = sorted(
        kept.nodes(), key=lambda node: (node.name != kept.node_name, not node.feasible, -node.total, node.name)
    )
    return {
        "pod": {"namespace": kept.pod.namespace, "name": kept.pod.name, "uid": kept.pod.uid},
        "at": rfc3339(kept.at),
        "node": kept.node_name,
        "message": kept.message,
        "nodes": [_node(node) for node in nodes[:limit]],
        "omitted": max(0, len(nodes) - limit),
    }


def _node(node: Node) -> Object:
    scores = [{"plugin": plugin, "weight": weight, "score": score} for plugin, weight, score in node.scores]
    return {
        "name": node.name,
        "feasible": node.feasible,
        "reasons": [{"plugin": plugin, "reason": reason} for plugin, reason in node.reasons],
        "scores": scores if node.feasible else [],
        "total": node.total if node.feasible else None,
    }


def untried(namespace: str, name: str, message: str) -> Object:
    """Of a pod that was not decided on."""
    return {
        "pod": {"namespace": namespace, "name": name},
        "at": None,
        "node": "",
        "message": message,
        "nodes": [],
        "omitted": 0,
    }


def table(told: Object) -> Iterator[str]:
    """The lines for a person: what came of it, and a row a node."""
    pod = told["pod"]
    outcome = f"went to {told['node']}" if told["node"] else f"has no node: {told['message']}"
    yield f"Pod {pod['namespace']}/{pod['name']} {outcome}"
    if not told["nodes"]:
        return
    yield ""
    plugins = _scoring(told["nodes"])
    rows = [["NODE", "RESULT", *(f"{plugin}*{weight}" for plugin, weight in plugins), "TOTAL"]]
    rows += [_cells(node, told["node"], plugins) for node in told["nodes"]]
    yield from _aligned(rows)
    if told["omitted"]:
        yield f"... and {told['omitted']} more nodes"


def _scoring(nodes: Iterable[Object]) -> list[tuple[str, int]]:
    """The plugins that scored, with their weights, in the order they were asked."""
    found = {(score["plugin"], score["weight"]): None for node in nodes for score in node["scores"]}
    return list(found)


def _cells(node: Object, chosen: str, plugins: Sequence[tuple[str, int]]) -> list[str]:
    result = CHOSEN if node["name"] == chosen else FEASIBLE
    if node["reasons"]:
        result = "; ".join(f"{reason['plugin']}: {reason['reason']}" for reason in node["reasons"])
    scores = {score["plugin"]: str(score["score"]) for score in node["scores"]}
    cells = [scores.get(plugin, NO_SCORE) for plugin, _ in plugins]
    return [node["name"], result, *cells, str(node["total"]) if scores else NO_SCORE]


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    """Names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
