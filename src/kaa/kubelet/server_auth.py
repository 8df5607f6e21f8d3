"""Who may use the kubelet's API: the API server, known by its client certificate of the cluster's authority.

Bearer tokens and per-request authorization (upstream's TokenReview and SubjectAccessReview) are not offered: everybody
else reaches a kubelet through the API server, which decides there.
"""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from kaa.kubelet.options import KubeletOptions

API_SERVER = "kube-apiserver-kubelet-client"
ADMINISTRATORS = "system:masters"


def server_context(options: KubeletOptions) -> ssl.SSLContext:
    assert options.serving_cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(options.serving_cert, options.serving_key)
    if options.client_ca is not None:
        context.load_verify_locations(options.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def subject_of(certificate: dict[str, Any] | None) -> dict[str, list[str]]:
    """Common names and organizations of a verified certificate, as Python's ssl gives it."""
    found: dict[str, list[str]] = {}
    for part in (certificate or {}).get("subject", ()):
        for name, value in part:
            found.setdefault(name, []).append(value)
    return found


@web.middleware
async def authenticate(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    transport = request.transport
    subject = subject_of(transport.get_extra_info("peercert") if transport is not None else None)
    if not subject:
        return web.Response(status=401, text="Unauthorized")
    if API_SERVER not in subject.get("commonName", ()) and ADMINISTRATORS not in subject.get("organizationName", ()):
        return web.Response(status=403, text=f"Forbidden (user={subject.get('commonName', [''])[0]}, resource=nodes)")
    return await handler(request)
