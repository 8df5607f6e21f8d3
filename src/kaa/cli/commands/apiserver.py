"""`kaa apiserver`."""

import ipaddress
from pathlib import Path

import click

from kaa.cli.foreground import run_foreground
from kaa.cluster.certificates import ADMIN, ensure_kubeconfig, ensure_pki
from kaa.cluster.spec import ClusterError
from kaa.lib.clock import WallClock
from kaa.server.http import CannotListen
from kaa.server.main import BadConfiguration, ServerOptions, run_apiserver
from kaa.store.store import StoreFailed

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("apiserver")
@click.option("--data-dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Keys and the store.")
@click.option("--secure-port", default=6443, show_default=True, type=click.IntRange(1, 65535))
@click.option("--bind-address", "bind_addresses", multiple=True, default=["127.0.0.1"], show_default=True)
@click.option("--advertise-address", default="127.0.0.1", show_default=True, help="Where pods find this server.")
@click.option("--service-cluster-ip-range", default="10.96.0.0/16", show_default=True)
@click.option("--etcd-servers", default="", metavar="URL,...", help="Keep the store in etcd instead of DATA_DIR.")
@click.option("--etcd-cafile", type=EXISTING_FILE, help="Who signs etcd's certificates.")
@click.option("--etcd-certfile", type=EXISTING_FILE, help="The client certificate for etcd.")
@click.option("--etcd-keyfile", type=EXISTING_FILE)
@click.option("--audit-policy-file", type=EXISTING_FILE, help="What of which requests goes into the audit log.")
@click.option("--audit-log-path", default="", metavar="FILE", help="The audit log; `-` is standard output.")
@click.option("--audit-log-maxsize", default=100, show_default=True, type=click.IntRange(1), metavar="MB")
@click.option("--audit-log-maxage", default=0, show_default=True, type=click.IntRange(0), help="Days; 0 keeps all.")
@click.option("--audit-log-maxbackup", default=100, show_default=True, type=click.IntRange(0), help="0 keeps all.")
@click.option("--max-requests-inflight", default=400, show_default=True, type=click.IntRange(0))
@click.option("--max-mutating-requests-inflight", default=200, show_default=True, type=click.IntRange(0))
@click.option("--encryption-provider-config", type=EXISTING_FILE, help="What is encrypted in the store, and how.")
def command(
    data_dir: Path,
    secure_port: int,
    bind_addresses: tuple[str, ...],
    advertise_address: str,
    service_cluster_ip_range: str,
    etcd_servers: str,
    etcd_cafile: Path | None,
    etcd_certfile: Path | None,
    etcd_keyfile: Path | None,
    audit_policy_file: Path | None,
    audit_log_path: str,
    audit_log_maxsize: int,
    audit_log_maxage: int,
    audit_log_maxbackup: int,
    max_requests_inflight: int,
    max_mutating_requests_inflight: int,
    encryption_provider_config: Path | None,
) -> None:
    """Run the API server in the foreground.

    Makes its certificates in DATA_DIR when there are none, and writes DATA_DIR/admin.kubeconfig. Several servers over
    one etcd need the same authority and service account keys: copy DATA_DIR/pki to each before its first start.

    The sum of both limits of requests in flight is what the priority levels divide among themselves.
    """
    clock = WallClock()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    pki = ensure_pki(data_dir, [*bind_addresses, advertise_address, _first(service_cluster_ip_range)], clock)
    kubeconfig = data_dir / "admin.kubeconfig"
    ensure_kubeconfig(kubeconfig, pki, ADMIN, f"https://{bind_addresses[0]}:{secure_port}", "kaa", clock)
    click.echo(f"kubeconfig: {kubeconfig}", err=True)
    options = ServerOptions(
        data_dir=data_dir,
        secure_port=secure_port,
        bind_addresses=bind_addresses,
        advertise_address=advertise_address,
        service_cidr=service_cluster_ip_range,
        etcd_servers=tuple(url for url in etcd_servers.split(",") if url),
        etcd_ca_file=etcd_cafile,
        etcd_cert_file=etcd_certfile,
        etcd_key_file=etcd_keyfile,
        audit_policy_file=audit_policy_file,
        audit_log_path=audit_log_path,
        audit_log_max_size_mb=audit_log_maxsize,
        audit_log_max_backups=audit_log_maxbackup,
        audit_log_max_age_days=audit_log_maxage,
        encryption_provider_config=encryption_provider_config,
        requests_in_flight=max_requests_inflight + max_mutating_requests_inflight,
    )
    try:
        run_foreground(lambda: run_apiserver(options, clock))
    except* (StoreFailed, CannotListen, BadConfiguration) as group:
        raise ClusterError("; ".join(str(error) for error in group.exceptions)) from None


def _first(network: str) -> str:
    """The address of the `kubernetes` Service, by which pods know this server. Raises click.BadParameter."""
    try:
        return str(ipaddress.IPv4Network(network)[1])
    except (ValueError, IndexError):
        raise click.BadParameter(f"{network!r} is not an IPv4 range such as 10.96.0.0/16") from None
