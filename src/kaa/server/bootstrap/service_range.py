"""The default range of Service addresses: the ServiceCIDR `kubernetes`, ready as soon as the server is.

It is made when it is absent. One that says another range than this server's configuration is left alone: what it says
is in use. Others are made ready by a controller, which also keeps a range for as long as there are addresses of it.
"""

import logging

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, is_being_deleted
from kaa.lib.clock import rfc3339
from kaa.server.bootstrap.objects import Advertised
from kaa.server.chain import Core

log = logging.getLogger(__name__)

NAME = "kubernetes"
READY = "Kubernetes default Service CIDR is ready"


async def ensure_service_range(core: Core, advertised: Advertised) -> None:
    cidrs = [advertised.service_network.with_prefixlen]
    try:
        stored = core.reader.get("ServiceCIDR", NAME) or await core.writer.create(
            "ServiceCIDR", {"metadata": {"name": NAME}, "spec": {"cidrs": cidrs}}
        )
        if stored["spec"]["cidrs"] != cidrs:
            log.warning("the default ServiceCIDR is %s, and not %s as configured", stored["spec"]["cidrs"], cidrs)
        elif (
            not is_being_deleted(stored) and condition((stored.get("status") or {}).get("conditions"), "Ready") is None
        ):
            await core.writer.update("ServiceCIDR", {**stored, "status": {"conditions": [_ready(core)]}}, "status")
    except APIError as error:
        if error.reason not in ("AlreadyExists", "Conflict"):
            raise
        # Another server of the same store does the same at this moment.


def _ready(core: Core) -> Object:
    now = rfc3339(core.clock.now())
    return {"type": "Ready", "status": "True", "lastTransitionTime": now, "reason": "", "message": READY}
