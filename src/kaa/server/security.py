"""Puts the server's security together: one place where every part of the chain gets what it needs.

    server = APIServer(store, clock, secure=secure(SecurityOptions.in_directory(pki, address, port)))

`SecurityOptions` are keys, certificates and addresses; where they come from is the program's affair.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from kaa.lib.jwt import Signer, Verifier
from kaa.server.admission import AdmissionChain
from kaa.server.admission.plugin import Context
from kaa.server.admission.resource_quota import ResourceQuota
from kaa.server.allocation import ServiceAllocation
from kaa.server.authentication import Authentication, BearerTokens, RequestRow, TokenRow, Tokens
from kaa.server.authentication.certificates import Authority, ClientCertificates, FrontProxy
from kaa.server.authentication.service_accounts import ISSUER, ServiceAccountTokens
from kaa.server.authentication.static_tokens import BootstrapTokens, TokenFile
from kaa.server.authorization import Authorization, Masters
from kaa.server.authorization.admin_access import AdminAccessCheck
from kaa.server.authorization.escalation import EscalationCheck
from kaa.server.authorization.node import NodeAuthorizer
from kaa.server.authorization.rbac import RBACAuthorizer
from kaa.server.backends import Backends, Kubelets, kubelet_context
from kaa.server.bootstrap import ensure_objects
from kaa.server.bootstrap.objects import Advertised
from kaa.server.chain import Chain, Core, SecureBy
from kaa.server.proxy import Proxy, is_proxyable
from kaa.server.reviews import Reviews
from kaa.server.streaming import PodStreaming
from kaa.server.tokens import IssuerDiscovery, TokenRequests

SERVICE_NETWORK = IPv4Network("10.96.0.0/16")
FRONT_PROXY_NAMES = ("front-proxy-client",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """Authorities and keys are PEM. `kubelet_tls` is how kubelets are spoken to; it is asked when the first one is.

    `kubelets` are those of this process. `may_reach` says to which addresses the proxy may connect.
    """

    client_ca: bytes
    front_proxy_ca: bytes
    service_account_key: bytes
    service_account_public_keys: tuple[bytes, ...]
    kubelet_tls: Callable[[], ssl.SSLContext]
    kubelets: Kubelets | None = None
    advertise_address: str
    port: int
    service_network: IPv4Network = SERVICE_NETWORK
    token_file: Path | None = None
    audiences: tuple[str, ...] = (ISSUER,)
    may_reach: Callable[[str], bool] = is_proxyable

    @classmethod
    def in_directory(
        cls,
        pki: Path,
        advertise_address: str,
        port: int,
        *,
        service_network: IPv4Network = SERVICE_NETWORK,
        token_file: Path | None = None,
        may_reach: Callable[[str], bool] = is_proxyable,
    ) -> "SecurityOptions":
        """With all files where kubeadm has them. Reads them. Raises OSError."""
        client = (pki / "apiserver-kubelet-client.crt", pki / "apiserver-kubelet-client.key")
        return cls(
            client_ca=(pki / "ca.crt").read_bytes(),
            front_proxy_ca=(pki / "front-proxy-ca.crt").read_bytes(),
            service_account_key=(pki / "sa.key").read_bytes(),
            service_account_public_keys=((pki / "sa.pub").read_bytes(),),
            kubelet_tls=partial(kubelet_context, pki / "ca.crt", *client),
            advertise_address=advertise_address,
            port=port,
            service_network=service_network,
            token_file=token_file,
            may_reach=may_reach,
        )


def secure(options: SecurityOptions) -> SecureBy:
    """The chain with every part in its place. Raises ValueError for a key or certificate that is bad, once called."""

    def chain_for(core: Core) -> Chain:
        return _chain(core, options)

    return chain_for


def _chain(core: Core, options: SecurityOptions) -> Chain:
    reader, clock = core.reader, core.clock
    client_ca, front_proxy_ca = options.client_ca, options.front_proxy_ca
    verifier = Verifier(options.service_account_public_keys)
    tokens = Tokens(_token_rows(core, options, verifier))
    rows: Sequence[RequestRow] = (
        FrontProxy(Authority(front_proxy_ca, clock), FRONT_PROXY_NAMES),
        ClientCertificates(Authority(client_ca, clock)),
        BearerTokens(tokens, options.audiences),
    )
    rbac = RBACAuthorizer(reader)
    authorizer = Authorization((Masters(), NodeAuthorizer(reader), rbac))
    allocation = ServiceAllocation(reader, clock, core.is_taken)
    admission = AdmissionChain(
        Context(reader, authorizer, clock),
        reservations=(allocation,),
        checks=(EscalationCheck(rbac, authorizer), AdminAccessCheck(reader)),
        quota=ResourceQuota(reader, clock),
    )
    backends = Backends(reader, options.kubelet_tls, options.kubelets)
    signer = Signer(options.service_account_key)
    token_requests = TokenRequests(signer, reader, clock, options.audiences)
    discovery = IssuerDiscovery(verifier, f"https://{options.advertise_address}:{options.port}")
    advertised = Advertised(
        options.advertise_address,
        options.port,
        options.service_network,
        client_ca.decode(),
        front_proxy_ca.decode(),
        FRONT_PROXY_NAMES,
    )

    async def started() -> None:
        await ensure_objects(core, advertised)

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await backends.close()

    return Chain(
        Authentication(rows),
        authorizer,
        admission,
        subresources={
            **PodStreaming(reader, backends).handlers(),
            **Proxy(reader, backends, clock.random, options.may_reach).handlers(),
            ("ServiceAccount", "token"): token_requests.handle,
        },
        virtual=Reviews(tokens, authorizer, rbac, options.audiences).handlers(),
        paths=(discovery.answer,),
        started=started,
        background=background,
    )


def _token_rows(core: Core, options: SecurityOptions, verifier: Verifier) -> list[TokenRow]:
    rows: list[TokenRow] = []
    if options.token_file is not None:
        rows.append(TokenFile(options.token_file.read_text()))
    rows.append(ServiceAccountTokens(verifier, core.reader, core.clock))
    rows.append(BootstrapTokens(core.reader, core.clock))
    return rows
