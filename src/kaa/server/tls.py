"""The server's TLS: a client may show a certificate, and an unknown one ends in a 401, not in a broken handshake.

OpenSSL, asked to verify clients, ends the handshake when a certificate's issuer is unknown; Kubernetes completes it
and says Unauthorized. Python cannot tell OpenSSL to accept what it could not verify, so its `SSL_CTX` is told directly.
The certificate is verified afterwards, by authentication: nothing trusts it before, and OpenSSL keeps less of it in
memory for not having looked.
"""

import _ssl
import ctypes
import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)

VerifyCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def _go_on(store_context: int | None, argument: int | None) -> int:
    """In the place of OpenSSL's own verification: goes on, whatever the certificate."""
    return 1


_ACCEPT = VerifyCallback(_go_on)  # held here: OpenSSL calls it for as long as the process lives


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """The context of a server that asks for client certificates and leaves judging them to the request's handler.

    `client_ca` is for a Python whose OpenSSL is out of reach: there an unknown certificate ends the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    # Clients that come back make a new session: none of ours resumes one, and a ticket costs at every handshake.
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    if not _accept_any_client(context):
        log.warning("cannot reach OpenSSL: clients with unknown certificates are refused in the TLS handshake")
        if client_ca is not None:
            context.load_verify_locations(client_ca)
    return context


class _SSLContextObject(ctypes.Structure):
    """The head of CPython's `PySSLContext`: reference count, type, and the `SSL_CTX *` that we are after."""

    _fields_ = (("refcount", ctypes.c_ssize_t), ("type", ctypes.c_void_p), ("ctx", ctypes.c_void_p))


def _accept_any_client(context: ssl.SSLContext) -> bool:
    """False where `_ssl` is built into the interpreter and keeps OpenSSL's functions to itself."""
    try:
        # The extension module's own library handle finds the very libssl that it is linked to.
        set_verify = ctypes.CDLL(getattr(_ssl, "__file__", None)).SSL_CTX_set_cert_verify_callback
    except (OSError, AttributeError):
        return False
    set_verify.argtypes = (ctypes.c_void_p, VerifyCallback, ctypes.c_void_p)
    set_verify.restype = None
    set_verify(_SSLContextObject.from_address(id(context)).ctx, _ACCEPT, None)
    return True
