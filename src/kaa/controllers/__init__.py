"""The controllers: each a row (`CONTROLLER`, or `controller(...)` where it has parameters) in a file of its own.

A new controller is one file and one entry here; `runtime.py` runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kaa.controllers import (
    admission_policy_status,
    certificate_cleaning,
    certificate_signing,
    claim_binder,
    clusterrole_aggregation,
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    endpointslice_mirroring,
    ephemeral_volumes,
    job,
    local_path,
    node_ipam,
    node_lifecycle,
    pod_gc,
    protection,
    replicaset,
    root_ca,
    service_account,
    service_account_token,
    service_cidr,
    statefulset,
    taint_eviction,
    ttl_after_finished,
    volume_binder,
)
from kaa.controllers.certificate_approval import CertificateApproval
from kaa.controllers.controller import Controller
from kaa.controllers.garbage_collector import GarbageCollector
from kaa.controllers.horizontal_pod_autoscaler import Autoscaling
from kaa.controllers.local_directories import Directories, LocalDirectories
from kaa.controllers.metrics_source import MetricsSource
from kaa.controllers.namespace import NamespaceDeletion
from kaa.controllers.program import Context, Program
from kaa.controllers.resource_quota import ResourceQuotaUsage
from kaa.controllers.terminated_pods import TerminatedPods


@dataclass(frozen=True, slots=True)
class Options:
    """What differs between clusters. What is empty turns the controller that needs it off."""

    root_ca_pem: str = ""
    sign_token: service_account_token.Sign | None = None  # for tokens in Secrets
    authority: certificate_signing.Authority | None = None  # signs certificate requests
    metrics: MetricsSource | None = None  # what autoscaling goes by; None: the cluster's metrics APIs
    local_volumes: local_path.DirectoryOf | None = None  # where each node keeps volumes of LOCAL_PATH's
    local_directories: Directories | None = None  # makes and removes them; None: nodes that only pretend
    cluster_cidr: str = ""
    node_grace_seconds: float = node_lifecycle.GRACE_SECONDS


def all_controllers(options: Options) -> list[Controller]:
    """Every row."""
    rows = [
        admission_policy_status.CONTROLLER,
        certificate_cleaning.CONTROLLER,
        claim_binder.CONTROLLER,
        clusterrole_aggregation.CONTROLLER,
        cronjob.CONTROLLER,
        daemonset.controller(),
        deployment.CONTROLLER,
        *disruption.CONTROLLERS,
        endpoints.CONTROLLER,
        endpointslice.CONTROLLER,
        endpointslice_mirroring.CONTROLLER,
        ephemeral_volumes.CONTROLLER,
        job.CONTROLLER,
        local_path.CONTROLLER,
        node_lifecycle.controller(options.node_grace_seconds),
        pod_gc.controller(),
        *protection.CONTROLLERS,
        *replicaset.CONTROLLERS,
        service_account.CONTROLLER,
        service_cidr.CONTROLLER,
        statefulset.CONTROLLER,
        taint_eviction.controller(),
        ttl_after_finished.CONTROLLER,
        volume_binder.CONTROLLER,
    ]
    if options.root_ca_pem:
        rows.append(root_ca.controller(options.root_ca_pem))
    if options.sign_token is not None:
        rows.append(service_account_token.controller(options.sign_token, options.root_ca_pem))
    if options.authority is not None:
        rows.append(certificate_signing.controller(options.authority))
    if options.local_volumes is not None:
        has_directories = options.local_directories is not None
        rows.append(local_path.controller(options.local_volumes, has_directories=has_directories))
    if options.cluster_cidr:
        rows.append(node_ipam.controller(options.cluster_cidr))
    return rows


def all_programs(options: Options) -> list[Callable[[Context], Program]]:
    """Every program: see `program.py`."""
    programs: list[Callable[[Context], Program]] = [
        partial(Autoscaling, source=options.metrics),
        CertificateApproval,
        GarbageCollector,
        NamespaceDeletion,
        ResourceQuotaUsage,
        TerminatedPods,
    ]
    if options.local_directories is not None:
        programs.append(partial(LocalDirectories, directories=options.local_directories))
    return programs
