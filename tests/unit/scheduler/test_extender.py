"""Extenders, against a real HTTP server: what they are asked, what their answers do, and what happens without one."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.unit.scheduler.make import node, pod

from kaa.scheduler.extender import Extender, ExtenderFailed, duration_seconds
from kaa.scheduler.framework import Rejection
from kaa.scheduler.snapshot import Snapshot

Answers = dict[str, Any]


@contextmanager
def server(answers: Answers) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Its URL, and what it was asked. `answers` are by verb; a number is a status code."""
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            verb = self.path.rpartition("/")[2]
            asked.append((verb, body))
            answer = answers[verb]
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/scheduler", asked
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class Objects:
    """A view with the pod and the nodes."""

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name}}

    def list(self, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
        return []


def three_nodes() -> Snapshot:
    snapshot = Snapshot(Objects())
    for name in ("a", "b", "c"):
        snapshot.set_node(node(name))
    return snapshot


def rejected(extender: Extender, snapshot: Snapshot, wanted=None) -> dict[str, tuple[str, bool]]:
    """By node: the reason, and whether preemption could help."""
    assert extender.plugin.reject is not None
    found: list[Rejection] = list(extender.plugin.reject(wanted or pod("p"), snapshot))
    return {
        name: (rejection.reason, rejection.resolvable)
        for rejection in found
        for name, row in snapshot.row_of.items()
        if rejection.rows[row]
    }


def test_filter_by_names():
    """A node cache on the other side: names go out and come back, with the reasons for those that failed."""
    failed = {"FailedNodes": {"b": "too warm"}, "FailedAndUnresolvableNodes": {"c": "no such rack"}}
    with server({"filter": {"NodeNames": ["a"], **failed}}) as (url, asked):
        extender = Extender({"urlPrefix": url, "filterVerb": "filter", "nodeCacheCapable": True})
        assert rejected(extender, three_nodes()) == {"b": ("too warm", True), "c": ("no such rack", False)}
    ((verb, question),) = asked
    assert verb == "filter"
    assert question["NodeNames"] == ["a", "b", "c"]
    assert question["Pod"]["metadata"]["name"] == "p"


def test_filter_by_whole_nodes():
    """Without a cache the nodes themselves are sent, and what does not come back is out."""
    answer = {"nodes": {"items": [{"metadata": {"name": "b"}}]}}  # any case will do
    with server({"filter": answer}) as (url, asked):
        extender = Extender({"urlPrefix": url, "filterVerb": "filter"})
        assert set(rejected(extender, three_nodes())) == {"a", "c"}
    assert [found["metadata"]["name"] for found in asked[0][1]["Nodes"]["items"]] == ["a", "b", "c"]


def test_prioritize():
    """0 to 10, weighted; nodes that are not named get nothing."""
    with server({"rank": [{"Host": "a", "Score": 3}, {"Host": "c", "Score": 10}]}) as (url, _):
        extender = Extender({"urlPrefix": url, "prioritizeVerb": "rank", "weight": 5})
        snapshot = three_nodes()
        assert extender.plugin.score is not None
        scores = extender.plugin.score(pod("p"), snapshot, snapshot.present)
        assert scores is not None
        assert {name: scores[row] for name, row in snapshot.row_of.items()} == {"a": 30, "b": 0, "c": 100}
        assert extender.plugin.weight == 5


@pytest.mark.parametrize("answer", [500, {"Error": "out of order"}])
def test_one_that_fails_spoils_the_decision_unless_it_is_ignorable(answer: Any):
    """Nobody may be placed against the will of one that counts; one that is ignorable has no say then."""
    with server({"filter": answer}) as (url, _):
        settings = {"urlPrefix": url, "filterVerb": "filter", "nodeCacheCapable": True}
        with pytest.raises(ExtenderFailed):
            rejected(Extender(settings), three_nodes())
        assert rejected(Extender({**settings, "ignorable": True}), three_nodes()) == {}


def test_nobody_there():
    """A refused connection is a failure like any other."""
    settings = {"urlPrefix": "http://127.0.0.1:9", "filterVerb": "filter", "httpTimeout": "100ms"}
    with pytest.raises(ExtenderFailed, match=r'Post "http://127\.0\.0\.1:9/filter"'):
        rejected(Extender(settings), three_nodes())


def test_managed_resources():
    """It is asked about pods that request what it manages, and only about those."""
    with server({"filter": {"NodeNames": []}}) as (url, asked):
        managed = [{"name": "example.com/fpga", "ignoredByScheduler": True}]
        settings = {"urlPrefix": url, "filterVerb": "filter", "nodeCacheCapable": True, "managedResources": managed}
        extender = Extender(settings)
        assert rejected(extender, three_nodes()) == {}
        assert asked == []
        wanted = pod("p", requests={"example.com/fpga": "1"})
        assert set(rejected(extender, three_nodes(), wanted)) == {"a", "b", "c"}
        assert extender.ignored_resources == ["example.com/fpga"]


def test_durations():
    """In Go's notation."""
    assert duration_seconds("1m30s") == 90
    assert duration_seconds("100ms") == pytest.approx(0.1)
    assert duration_seconds("") == 0
