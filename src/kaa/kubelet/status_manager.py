"""Writes pod statuses to the API, only when they differ from what the API has, and removes pods that have ended.

The newest status wins: one that is set while an older one is being written is written next. A pod being deleted is
removed (grace 0, only if it is still the same uid) once its last status has been written and `finish` was called.
Bounded by the pods on the node.
"""

import logging

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition
from kaa.client.informer import Informer
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.kubelet.pod_status import OWNED_CONDITIONS
from kaa.kubelet.status_patch import status_patch
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.clock import Clock
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

WRITERS = 4
"""Statuses written at the same time: enough to hide the API's latency, too few to crowd it."""

RETRY = Backoff(initial_seconds=0.2, limit_seconds=30.0)


class StatusManager:
    def __init__(self, client: Client, pods: Informer, clock: Clock) -> None:
        self._client = client
        self._pods = pods
        self._queue: WorkQueue[str] = WorkQueue(clock)
        self._retries: BackoffTable[str] = BackoffTable(RETRY)
        self._wanted: dict[str, Object] = {}  # by uid: pods with the status they are to have
        self._finished: set[str] = set()

    def current(self, pod: Object) -> Object:
        """The pod with the newest status: what was set last, and the others' conditions as the API has them."""
        wanted = self._wanted.get(pod["metadata"]["uid"])
        if wanted is None:
            return pod
        own = wanted["status"]
        theirs = [c for c in (pod.get("status") or {}).get("conditions") or () if c.get("type") not in OWNED_CONDITIONS]
        mine = [c for c in own.get("conditions") or () if condition(theirs, c["type"]) is None]
        return {**pod, "status": {**own, "conditions": mine + theirs}}

    def set(self, pod: Object, status: Object) -> None:
        uid = pod["metadata"]["uid"]
        known = self._wanted.get(uid)
        if known is not None and known["status"] == status:
            return
        self._wanted[uid] = {**pod, "status": status}
        self._queue.add(uid)

    def observe(self, pod: Object) -> None:
        """The pod as the API has it now. What somebody else made of our conditions is put right.

        While a node was lost its pods were marked not ready; that it is back, only the kubelet can say.
        """
        uid = pod["metadata"]["uid"]
        wanted = self._wanted.get(uid)
        if wanted is not None and _verdicts(pod) != _verdicts(wanted):
            self._queue.add(uid)

    def finish(self, pod: Object) -> None:
        """Nothing of the pod is left on the node: its object may go."""
        uid = pod["metadata"]["uid"]
        self._wanted.setdefault(uid, pod)
        self._finished.add(uid)
        self._queue.add(uid)

    def forget(self, uid: str) -> None:
        """The pod is gone from the API."""
        self._wanted.pop(uid, None)
        self._finished.discard(uid)
        self._retries.succeeded(uid)

    async def run(self) -> None:
        """One writer; run WRITERS of them."""
        while True:
            uid = await self._queue.get()
            try:
                await self._write(uid)
                self._retries.succeeded(uid)
            except (APIError, TransportError) as error:
                delay = self._retries.failed(uid)
                log.warning("status of pod %s not written, next try in %.1f s: %s", uid, delay, error)
                self._queue.add_after(uid, delay)
            finally:
                self._queue.done(uid)

    async def _write(self, uid: str) -> None:
        # Both as of now: the last status, set while an earlier one is being written, is written before the pod goes.
        wanted, finished = self._wanted.get(uid), uid in self._finished
        if wanted is None:
            return
        meta = wanted["metadata"]
        pod = self._pods.get(meta["name"], meta["namespace"])
        if pod is None or pod["metadata"]["uid"] != uid:
            return  # gone, or another pod of that name: this one's status is of no interest
        try:
            if patch := status_patch(pod.get("status") or {}, wanted["status"]):
                body = {"metadata": {"uid": uid}, "status": patch}
                answer = await self._client.patch(
                    "Pod", meta["name"], body, meta["namespace"], patch_type="strategic", subresource="status"
                )
                self._pods.observe(answer)
            if finished:
                await self._client.delete("Pod", meta["name"], meta["namespace"], grace_seconds=0, uid=uid)
        except APIError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise
            log.debug("pod %s/%s has been replaced or removed: %s", meta["namespace"], meta["name"], error)

    def close(self) -> None:
        self._queue.close()


def _verdicts(pod: Object) -> dict[str, str]:
    """Status by type of the conditions that the kubelet owns."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return {c["type"]: c["status"] for c in conditions if c["type"] in OWNED_CONDITIONS}
