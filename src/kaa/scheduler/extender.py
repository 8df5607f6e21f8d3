"""Extenders: plugins somewhere else, asked over HTTP, as upstream's API of them says.

An extender is made a plugin's row like any other: its filter rejects, its prioritize scores, its bind binds. It is
asked about the pods that request one of its managed resources, or about all if it manages none. One that is *ignorable*
has no say while it does not answer. Requests block: they are made where foreign plugins run, off the event loop.

Messages have the names of Go's fields (`NodeNames`), and as Go's reader we take any case in answers.
"""

import asyncio
import base64
import http.client
import json
import logging
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from kaa.api.objects import Object
from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Placement, Plugin, Refused, Rejection
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 5.0
MAX_EXTENDER_SCORE = 10
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer may have all nodes in it."""


class ExtenderFailed(Exception):
    """No answer, or one that is of no use."""


class Extender:
    """One entry of a configuration's `extenders`."""

    def __init__(self, settings: Object) -> None:
        self.url: str = settings["urlPrefix"]
        self._settings = settings
        self._timeout_seconds = duration_seconds(settings.get("httpTimeout", "")) or DEFAULT_TIMEOUT_SECONDS
        self._tls = tls_context(settings)
        self._by_names = bool(settings.get("nodeCacheCapable"))
        managed = settings.get("managedResources") or ()
        self._managed = frozenset(resource["name"] for resource in managed)
        self.ignored_resources = [resource["name"] for resource in managed if resource.get("ignoredByScheduler")]
        if settings.get("preemptVerb"):
            log.warning("extender %s: it is not asked about preemption; preemptVerb has no effect", self.url)
        self.plugin = Plugin(
            name=f"Extender {self.url}",
            reject=self._reject if settings.get("filterVerb") else None,
            score=self._score if settings.get("prioritizeVerb") else None,
            weight=settings.get("weight", 0),
            bind=self._bind if settings.get("bindVerb") else None,
            # Nobody knows what would change its mind: anything may.
            helped_by=helped_by(*ClusterEvent),
            reads=("Pod", "Node"),
            foreign=True,
            limit_seconds=2 * self._timeout_seconds + 1.0,  # it is asked twice
        )

    def concerns(self, pod: PodInfo) -> bool:
        return not self._managed or not self._managed.isdisjoint(pod.requests)

    def _reject(self, pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
        """Upstream asks about the nodes that no plugin rejects; here about all, as every plugin is asked."""
        if not self.concerns(pod):
            return
        rows = snapshot.present
        try:
            answer = self._send(self._settings["filterVerb"], self._question(pod, snapshot, rows))
            if answer.get("error"):
                raise ExtenderFailed(answer["error"])
        except ExtenderFailed as error:
            if not self._settings.get("ignorable"):
                raise
            log.warning("skipping extender %s, which is ignorable: %s", self.url, error)
            return
        yield from self._rejections(answer, snapshot, rows)

    def _rejections(self, answer: Mapping[str, Any], snapshot: Snapshot, rows: Rows) -> Iterator[Rejection]:
        left = rows.copy()
        for field, resolvable in (("failedandunresolvablenodes", False), ("failednodes", True)):
            by_reason: dict[str, list[int]] = {}
            for name, reason in (answer.get(field) or {}).items():
                if name in snapshot.row_of:
                    by_reason.setdefault(reason, []).append(snapshot.row_of[name])
            for reason, places in by_reason.items():
                failed = snapshot.none()
                failed[places] = True
                yield Rejection(failed & left, reason, resolvable)
                left &= ~failed
        passed = snapshot.none()
        passed[[snapshot.row_of[name] for name in self._names(answer) if name in snapshot.row_of]] = True
        yield Rejection(left & ~passed, f"node(s) didn't pass extender {self.url}")

    def _names(self, answer: Mapping[str, Any]) -> list[str]:
        names = answer.get("nodenames") if self._by_names else None
        if names is not None:
            return list(names)
        return [node["metadata"]["name"] for node in (answer.get("nodes") or {}).get("items") or ()]

    def _score(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        """An extender that does not answer has no preference."""
        if not self.concerns(pod):
            return None
        scores: Scores = np.zeros(snapshot.size)
        try:
            answer = self._send(self._settings["prioritizeVerb"], self._question(pod, snapshot, rows))
        except ExtenderFailed as error:
            log.warning("extender %s gave no scores: %s", self.url, error)
            return None
        for entry in answer if isinstance(answer, list) else ():
            if (row := snapshot.row_of.get(entry["host"])) is not None:
                scores[row] = entry["score"] * MAX_SCORE / MAX_EXTENDER_SCORE
        return scores

    async def _bind(self, placement: Placement) -> bool:
        pod = placement.pod
        if not self.concerns(pod):
            return False
        question = {
            "PodName": pod.name,
            "PodNamespace": pod.namespace,
            "PodUID": pod.uid,
            "Node": placement.node_name,
        }
        try:
            answer = await asyncio.to_thread(self._send, self._settings["bindVerb"], question)
        except ExtenderFailed as error:
            raise Refused(f"binding rejected: {error}") from None
        if answer.get("error"):
            raise Refused(f"binding rejected: {answer['error']}")
        return True

    def _question(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Object:
        names = [snapshot.names[row] for row in np.flatnonzero(rows)]
        question: Object = {"Pod": snapshot.view.get("Pod", pod.name, pod.namespace)}
        if self._by_names:
            return {**question, "NodeNames": names}
        nodes = [node for name in names if (node := snapshot.view.get("Node", name)) is not None]
        return {**question, "Nodes": {"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": nodes}}

    def _send(self, verb: str, question: Object) -> Any:
        url = urlsplit(f"{self.url.rstrip('/')}/{verb}")
        host, port = url.hostname or "", url.port
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_seconds, context=self._tls)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)
        try:
            connection.request("POST", url.path, json.dumps(question), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                where = f"with extender at URL {self.url.rstrip('/')}/{verb}"
                raise ExtenderFailed(f"failed {verb} {where}, code {response.status}")
            return lowered(json.loads(response.read(MAX_ANSWER_BYTES)))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ExtenderFailed(f'Post "{self.url.rstrip("/")}/{verb}": {error}') from None
        finally:
            connection.close()


def lowered(answer: Any) -> Any:
    """With the keys of the outermost object, or of a list's, in lower case."""
    if isinstance(answer, list):
        return [lowered(entry) for entry in answer]
    return {key.lower(): value for key, value in answer.items()} if isinstance(answer, dict) else answer


UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"([0-9.]+)(h|ms|m|s|us|µs|ns)")


def duration_seconds(text: str) -> float:
    """Go's notation: `1m30s`, `100ms`; "" is 0."""
    if text and not re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
        raise BadConfiguration(f'time: invalid duration "{text}"')
    return sum(float(number) * UNITS[unit] for number, unit in _DURATION.findall(text))


def tls_context(settings: Object) -> ssl.SSLContext | None:
    """As upstream's: without a CA the server's certificate is not checked."""
    config = settings.get("tlsConfig") or {}
    if not settings.get("enableHTTPS") and not config:
        return None
    authority = base64.b64decode(config.get("caData", "")).decode()
    context = ssl.create_default_context(cafile=config.get("caFile") or None, cadata=authority or None)
    if config.get("insecure") or not (config.get("caFile") or authority):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.get("certFile"):
        context.load_cert_chain(config["certFile"], config.get("keyFile"))
    elif config.get("certData"):
        with tempfile.NamedTemporaryFile("wb") as pem:  # only root reads it, and not for long
            pem.write(base64.b64decode(config["certData"]) + b"\n" + base64.b64decode(config["keyData"]))
            pem.flush()
            context.load_cert_chain(pem.name)
    return context
