"""ServiceCIDR: a range of service addresses is Ready, and stays for as long as addresses depend on it.

A finalizer keeps a range that is being deleted while an allocated address (an IPAddress) is in no other range. Once
none is, the allocators get a little time to hear of the deletion before the range goes: one may just be giving out an
address of it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from kaa.api.objects import Object, condition, copy_object, is_being_deleted, labels_of, name_of
from kaa.controllers.actions import RequeueAfter, Update, UpdateStatus
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, deletion, key_of, presence
from kaa.lib.clock import parse_rfc3339, rfc3339

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
ALLOCATOR = "ipallocator.k8s.io"

GRACE_SECONDS = 10.0
"""From the deletion to the end, as upstream's."""

READY = ("True", "", "Kubernetes Service CIDR is ready")
TERMINATING = (
    "False",
    "Terminating",
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
)


def reconcile(cidr: Object, view: View, now: datetime) -> Actions:
    finalizers = cidr["metadata"].get("finalizers") or []
    if not is_being_deleted(cidr):
        if FINALIZER not in finalizers:
            yield Update(with_finalizers(cidr, [*finalizers, FINALIZER]))
        yield from set_ready(cidr, READY, now)
    elif FINALIZER not in finalizers:
        return
    elif holds_addresses(cidr, view):
        yield from set_ready(cidr, TERMINATING, now)
    else:
        deleted = parse_rfc3339(cidr["metadata"]["deletionTimestamp"])
        left = (deleted + timedelta(seconds=GRACE_SECONDS) - now).total_seconds()
        if left > 0:
            yield RequeueAfter(left)
        else:
            yield Update(with_finalizers(cidr, [f for f in finalizers if f != FINALIZER]))


def with_finalizers(cidr: Object, finalizers: list[str]) -> Object:
    changed = copy_object(cidr)
    changed["metadata"]["finalizers"] = finalizers
    return changed


def set_ready(cidr: Object, wanted: tuple[str, str, str], now: datetime) -> Actions:
    conditions = cidr.get("status", {}).get("conditions") or []
    known = condition(conditions, "Ready")
    if known is not None and (known["status"], known.get("reason", ""), known.get("message", "")) == wanted:
        return
    status, reason, message = wanted
    same = known is not None and known["status"] == status
    since = known["lastTransitionTime"] if known is not None and same else rfc3339(now)
    ready = {"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": since}
    others = [c for c in conditions if c["type"] != "Ready"]
    yield UpdateStatus(cidr, {**cidr.get("status", {}), "conditions": [*others, ready]})


def networks(cidr: Object) -> list[IPv4Network | IPv6Network]:
    return [ip_network(text) for text in cidr["spec"].get("cidrs") or ()]


def holds_addresses(cidr: Object, view: View) -> bool:
    """Whether an allocated address is in this range and in no other."""
    ours = networks(cidr)
    others = [
        network for other in view.list("ServiceCIDR") if name_of(other) != name_of(cidr) for network in networks(other)
    ]
    for allocated in view.list("IPAddress"):
        address = ip_address(name_of(allocated))
        is_managed = labels_of(allocated).get(MANAGED_BY) == ALLOCATOR
        if is_managed and any(address in network for network in ours) and not any(address in n for n in others):
            return True
    return False


def every_range(obj: Object, view: View) -> Iterator[Key]:
    """A range or an address that comes or goes may set free a range that waits for its end."""
    return (key_of(cidr) for cidr in view.list("ServiceCIDR") if is_being_deleted(cidr))


CONTROLLER = Controller(
    name="service-cidr",
    kind="ServiceCIDR",
    watches=(Watch("IPAddress", every_range, when=deletion), Watch("ServiceCIDR", every_range, when=presence)),
    reconcile=reconcile,
)
