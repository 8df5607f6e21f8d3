"""What people are told of a decision, and over which socket."""

import asyncio
import random
import stat
from datetime import UTC, datetime
from pathlib import Path

from tests.unit.scheduler.make import node, pod, snapshot_of

from kaa.scheduler.decision import decide
from kaa.scheduler.decision_log import DecisionLog
from kaa.scheduler.explain_socket import ask, serve_explanations
from kaa.scheduler.explaining import explanation, table, untried
from kaa.scheduler.plugins import PLUGINS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TAINT = {"key": "k", "effect": "NoSchedule"}


def told(wanted, snapshot, limit=100):
    log = DecisionLog()
    log.put(wanted, decide(wanted, snapshot, PLUGINS, random.Random(1)), NOW)
    kept = log.get(wanted.key)
    assert kept is not None
    return explanation(kept, limit)


def test_the_chosen_node_comes_first_with_its_scores():
    """The total is the weighted sum; a node that was out has the plugin and its reason instead."""
    snapshot = snapshot_of(node("a"), node("b"), node("tainted", taints=[TAINT]))
    snapshot.add_pod(pod("first", "2"), "a")
    found = told(pod("p", "1"), snapshot)
    assert (found["node"], found["at"], found["omitted"]) == ("b", "2026-01-01T00:00:00Z", 0)
    assert [entry["name"] for entry in found["nodes"]] == ["b", "a", "tainted"]
    best = found["nodes"][0]
    assert best["total"] == sum(score["weight"] * score["score"] for score in best["scores"])
    assert {score["plugin"]: score["score"] for score in best["scores"]}["TaintToleration"] == 100
    reason = {"plugin": "TaintToleration", "reason": "node(s) had untolerated taint(s)"}
    assert found["nodes"][2]["reasons"] == [reason]
    assert found["nodes"][2]["scores"] == []


def test_the_table():
    """A row a node, numbers under their plugins."""
    snapshot = snapshot_of(node("a"), node("b"), node("tainted", taints=[TAINT]))
    lines = list(table(told(pod("p", "1"), snapshot, limit=2)))
    assert lines[0].startswith("Pod default/p went to ")
    assert lines[2].split()[:3] == ["NODE", "RESULT", "TaintToleration*3"]
    assert lines[2].split()[-1] == "TOTAL"
    assert lines[3].split()[1] == "chosen"
    assert lines[-1] == "... and 1 more nodes"


def test_a_pod_without_a_node():
    """The sentence of its condition, and every node's reason."""
    lines = list(table(told(pod("p", "100"), snapshot_of(node("a")))))
    assert lines[0].startswith("Pod default/p has no node: 0/1 nodes are available: 1 Insufficient cpu.")
    assert "NodeResourcesFit: Insufficient cpu" in lines[3]


async def test_the_socket(tmp_path: Path):
    """Only root may ask; nonsense is not answered, and the next question is."""
    path = tmp_path / "scheduler.sock"
    asked = []

    def explain(namespace, name, nodes):
        asked.append((namespace, name, nodes))
        return untried(namespace, name, "it has not been tried yet")

    server = asyncio.create_task(serve_explanations(path, explain))
    for _ in range(10):  # it listens after a few steps
        await asyncio.sleep(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"[1]\n")
    assert await reader.read() == b""
    writer.close()
    answer = await asyncio.to_thread(ask, path, "default", "web", 7)
    assert answer["message"] == "it has not been tried yet"
    assert asked == [("default", "web", 7)]
    server.cancel()
    await asyncio.wait([server])
    assert not path.exists()
