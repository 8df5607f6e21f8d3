"""The API server as a program: store, security, server and TLS put together, until cancelled."""

import asyncio
import gc
import logging
import resource
from collections.abc import Callable, Container
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from kaa.lib.clock import Clock
from kaa.server.app import REQUESTS_IN_FLIGHT, APIServer
from kaa.server.http import HTTPServer
from kaa.server.proxy import is_proxyable, nowhere
from kaa.server.security import SecurityOptions, secure
from kaa.server.tls import server_context
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import Store

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from kaa.server.audit import Audit
    from kaa.server.encryption.store import EncryptedStore


class BadConfiguration(Exception):
    """A file that the server was given is not usable. The message is for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """`data_dir` holds `pki/`, made by whoever starts the server, and `store/`, which the server makes.

    With `etcd_servers` (URLs) the store is there instead, and other API servers may share it.
    """

    data_dir: Path
    secure_port: int = 6443
    bind_addresses: tuple[str, ...] = ("127.0.0.1",)
    advertise_address: str = "127.0.0.1"
    service_cidr: str = "10.96.0.0/16"
    token_file: Path | None = None
    etcd_servers: tuple[str, ...] = ()
    etcd_ca_file: Path | None = None
    etcd_cert_file: Path | None = None
    etcd_key_file: Path | None = None
    audit_policy_file: Path | None = None
    audit_log_path: str = ""
    audit_log_max_size_mb: int = 100
    audit_log_max_backups: int = 100
    audit_log_max_age_days: int = 0
    encryption_provider_config: Path | None = None
    requests_in_flight: int = REQUESTS_IN_FLIGHT
    has_pod_network: bool = True  # False: all nodes are simulated


async def run_apiserver(options: ServerOptions, clock: Clock) -> None:
    """Serves until cancelled, then stops cleanly.

    Raises StoreFailed, CannotListen, BadConfiguration: readable, for a person.
    """
    audit = audit_of(options, clock)
    pki = options.data_dir / "pki"
    security = SecurityOptions.in_directory(
        pki,
        options.advertise_address,
        options.secure_port,
        service_network=IPv4Network(options.service_cidr),
        token_file=options.token_file,
        may_reach=is_proxyable if options.has_pod_network else nowhere,
    )
    encrypt = encryption_of(options, clock)
    store: Store = await open_store(options, clock)
    outdated: Container[str] = ()
    if encrypt is not None:
        store = encrypted = encrypt(store)
        outdated = encrypted.outdated
    server = APIServer(
        store,
        clock,
        secure=secure(security),
        audit=audit,
        outdated=outdated,
        requests_in_flight=options.requests_in_flight,
    )
    tls = server_context(pki / "apiserver.crt", pki / "apiserver.key", pki / "ca.crt")
    http = HTTPServer(server.handle, tls)
    try:
        await server.start()
        await http.start(options.bind_addresses, options.secure_port)
        log.info("serving on port %d of %s", options.secure_port, ", ".join(options.bind_addresses))
        # What has been loaded by now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        await server.wait()
    finally:
        # Watches end first, so that closing the sockets need not wait for them.
        await asyncio.shield(_stop(server, http, store))


def allow_many_connections() -> None:
    """As many open files as the process may have: the usual limit of 1,024 stands for programs that use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def open_store(options: ServerOptions, clock: Clock) -> Store:
    """Raises StoreFailed."""
    if not options.etcd_servers:
        return await SQLiteStore.open(options.data_dir / "store", clock)
    # gRPC is loaded only by who needs it.
    from kaa.store.etcd import EtcdStore
    from kaa.store.etcd_client import EtcdServers

    servers = EtcdServers(
        urls=options.etcd_servers,
        ca_file=options.etcd_ca_file,
        cert_file=options.etcd_cert_file,
        key_file=options.etcd_key_file,
    )
    return await EtcdStore.open(servers, clock)


def audit_of(options: ServerOptions, clock: Clock) -> "Audit | None":
    """None without a policy and a file to write to, as upstream. Raises BadConfiguration."""
    if options.audit_policy_file is None or not options.audit_log_path:
        return None
    from kaa.server.audit import Audit
    from kaa.server.audit.log import MEGABYTE, AuditLog, LogFile
    from kaa.server.audit.policy import BadPolicy, read_policy

    try:
        policy = read_policy(options.audit_policy_file)
    except BadPolicy as error:
        raise BadConfiguration(str(error)) from None
    file = LogFile(
        options.audit_log_path,
        options.audit_log_max_size_mb * MEGABYTE,
        options.audit_log_max_backups,
        options.audit_log_max_age_days,
    )
    return Audit(policy, AuditLog(file, clock), clock)


def encryption_of(options: ServerOptions, clock: Clock) -> "Callable[[Store], EncryptedStore] | None":
    """What goes around the store; None without a configuration. Raises BadConfiguration."""
    if options.encryption_provider_config is None:
        return None
    from kaa.server.encryption import configuration
    from kaa.server.encryption.store import EncryptedStore

    try:
        read = configuration.read_configuration(options.encryption_provider_config, clock.random)
    except configuration.BadConfiguration as error:
        raise BadConfiguration(str(error)) from None
    return lambda store: EncryptedStore(store, read)


async def _stop(server: APIServer, http: HTTPServer, store: Store) -> None:
    await server.stop()
    await http.stop()
    await store.close()
