"""Certificate approval: a kubelet's request for its own client certificate is approved without a person.

Observed: requests of the signer `kube-apiserver-client-kubelet` that nobody has answered. Wanted: those approved whose
requestor may `create certificatesigningrequests/nodeclient`, or `selfnodeclient` for the node that it is already; the
server is asked with a SubjectAccessReview. Everything else waits for a person.
"""

import logging
from base64 import b64decode
from datetime import datetime

from kaa.api.errors import APIError
from kaa.api.objects import Object, name_of
from kaa.client.informer import Change
from kaa.client.transport import TransportError
from kaa.controllers.certificate_signing import KUBELET_CLIENT, has, objection_to
from kaa.controllers.program import Context
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.clock import rfc3339
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

RETRY = Backoff(initial_seconds=0.2, limit_seconds=1000.0)


def is_candidate(csr: Object) -> bool:
    """A node's client request that nobody has answered, and that could be signed."""
    answered = csr.get("status", {}).get("certificate") or has(csr, "Approved") or has(csr, "Denied")
    return csr["spec"]["signerName"] == KUBELET_CLIENT and not answered and not objection_to(csr)


def rights(csr: Object) -> list[tuple[str, str]]:
    """(subresource that the requestor needs the right to create, message of the approval), in the order to ask in."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_pem_x509_csr(b64decode(csr["spec"]["request"])).subject
    name = subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    found = [("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
    if csr["spec"].get("username") == name:
        message = "Auto approving self kubelet client certificate after SubjectAccessReview."
        found.insert(0, ("selfnodeclient", message))
    return found


def review(csr: Object, subresource: str) -> Object:
    spec = csr["spec"]
    attributes = {
        "group": "certificates.k8s.io",
        "resource": "certificatesigningrequests",
        "subresource": subresource,
        "verb": "create",
        "version": "*",
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {
            "user": spec.get("username", ""),
            "uid": spec.get("uid", ""),
            "groups": spec.get("groups") or [],
            "extra": spec.get("extra") or {},
            "resourceAttributes": attributes,
        },
    }


def approved(csr: Object, message: str, now: datetime) -> Object:
    status, moment = csr.get("status", {}), rfc3339(now)
    fresh = {
        "type": "Approved",
        "status": "True",
        "reason": "AutoApproved",
        "message": message,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
    }
    return {**csr, "status": {**status, "conditions": [*(status.get("conditions") or ()), fresh]}}


class CertificateApproval:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._requests = context.informers.informer("CertificateSigningRequest")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)
        self._failures: BackoffTable[str] = BackoffTable(RETRY)
        self._requests.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.new is not None:
            self._queue.add(name_of(change.new))

    async def run(self) -> None:
        """Until cancelled. One after the other: nodes join seldom."""
        await self._requests.wait_synced()
        try:
            while True:
                name = await self._queue.get()
                try:
                    await self._look(name)
                except (APIError, TransportError) as error:
                    log.debug("looking at the request %s again: %s", name, error)
                    self._queue.add_after(name, self._failures.failed(name))
                else:
                    self._failures.succeeded(name)
                finally:
                    self._queue.done(name)
        finally:
            self._queue.close()

    async def _look(self, name: str) -> None:
        csr = self._requests.get(name)
        if csr is None or not is_candidate(csr):
            return
        for subresource, message in rights(csr):
            answer = await self._client.create(review(csr, subresource))
            if answer["status"].get("allowed"):
                changed = approved(csr, message, self._clock.now())
                self._requests.observe(await self._client.update(changed, "approval"))
                return
