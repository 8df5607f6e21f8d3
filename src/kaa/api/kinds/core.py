"""The core group, v1: what runs, where it runs, and what it is given."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import ALL_VERBS, SCALE, STATUS, GroupVersion, Resource, Subresource
from kaa.api.strategies.cluster import begin_pending, prepare_namespace_for_create, prepare_namespace_for_update
from kaa.api.strategies.pods import pod_grace_seconds, prepare_pod_for_create
from kaa.api.strategies.services import prepare_service_for_update
from kaa.api.validation.names import dns_label
from kaa.api.validation.walker import validator

CONNECT = ("create", "get")
PROXY = ("create", "delete", "get", "patch", "update")

BINDING = Subresource("binding", ("create",), kind="Binding")
EVICTION = Subresource("eviction", ("create",), kind="Eviction", group="policy", version="v1")
LOG = Subresource("log", ("get",))
ATTACH = Subresource("attach", CONNECT, kind="PodAttachOptions")
EXEC = Subresource("exec", CONNECT, kind="PodExecOptions")
PORT_FORWARD = Subresource("portforward", CONNECT, kind="PodPortForwardOptions")
POD_PROXY = Subresource("proxy", PROXY, kind="PodProxyOptions")
EPHEMERAL_CONTAINERS = Subresource("ephemeralcontainers")
RESIZE = Subresource("resize")
NODE_PROXY = Subresource("proxy", PROXY, kind="NodeProxyOptions")
SERVICE_PROXY = Subresource("proxy", PROXY, kind="ServiceProxyOptions")
FINALIZE = Subresource("finalize", ("update",))
TOKEN = Subresource("token", ("create",), kind="TokenRequest", group="authentication.k8s.io", version="v1")

POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
)
EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)

V1 = GroupVersion(
    "",
    "v1",
    (
        Resource(kind="Binding", verbs=("create",), has_generation=False),
        Resource(
            kind="ComponentStatus",
            columns=printing.cluster.COMPONENT_STATUS,
            plural="componentstatuses",
            namespaced=False,
            verbs=("get", "list"),
            short_names=("cs",),
            has_generation=False,
        ),
        Resource(
            kind="ConfigMap",
            columns=printing.cluster.CONFIG_MAP,
            validate=validation.cluster.validate_config_map,
            validate_update=validation.cluster.validate_config_map_update,
            short_names=("cm",),
            has_generation=False,
        ),
        Resource(
            kind="Endpoints",
            columns=printing.network.ENDPOINTS,
            defaults=defaults.network.ENDPOINTS,
            validate=validator(validation.network.ENDPOINTS),
            plural="endpoints",
            short_names=("ep",),
            has_generation=False,
        ),
        Resource(
            kind="Event",
            columns=printing.cluster.EVENT,
            validate=validation.events.validate_core_event,
            short_names=("ev",),
            selectable_fields=EVENT_FIELDS,
            has_generation=False,
        ),
        Resource(
            kind="LimitRange",
            columns=printing.cluster.LIMIT_RANGE,
            defaults=defaults.cluster.LIMIT_RANGE,
            validate=validator(validation.cluster.LIMIT_RANGE),
            short_names=("limits",),
            has_generation=False,
        ),
        Resource(
            kind="Namespace",
            prepare_for_create=prepare_namespace_for_create,
            prepare_for_update=prepare_namespace_for_update,
            name_rule=dns_label,
            validate=validation.cluster.validate_namespace,
            columns=printing.cluster.NAMESPACE,
            defaults=defaults.cluster.NAMESPACE,
            namespaced=False,
            verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
            short_names=("ns",),
            subresources=(FINALIZE, STATUS),
            selectable_fields=("status.phase",),
            has_generation=False,
        ),
        Resource(
            kind="Node",
            columns=printing.cluster.NODE,
            defaults=defaults.cluster.NODE,
            validate=validator(validation.cluster.NODE),
            validate_update=validation.cluster.validate_node_update,
            namespaced=False,
            short_names=("no",),
            subresources=(NODE_PROXY, STATUS),
            selectable_fields=("spec.unschedulable",),
            has_generation=False,
        ),
        Resource(
            kind="PersistentVolumeClaim",
            prepare_for_create=begin_pending,
            columns=printing.storage.PERSISTENT_VOLUME_CLAIM,
            defaults=defaults.storage.PERSISTENT_VOLUME_CLAIM,
            validate=validator(validation.storage.PERSISTENT_VOLUME_CLAIM),
            validate_update=validation.storage.validate_claim_update,
            short_names=("pvc",),
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="PersistentVolume",
            prepare_for_create=begin_pending,
            columns=printing.storage.PERSISTENT_VOLUME,
            defaults=defaults.storage.PERSISTENT_VOLUME,
            validate=validation.storage.validate_volume,
            validate_update=validation.storage.validate_volume_update,
            namespaced=False,
            short_names=("pv",),
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="Pod",
            prepare_for_create=prepare_pod_for_create,
            validate=validation.pods.validate_pod,
            validate_update=validation.pods.validate_pod_update,
            default_grace_seconds=pod_grace_seconds,
            columns=printing.pods.POD,
            defaults=defaults.pods.POD,
            short_names=("po",),
            categories=("all",),
            subresources=(
                ATTACH,
                BINDING,
                EPHEMERAL_CONTAINERS,
                EVICTION,
                EXEC,
                LOG,
                PORT_FORWARD,
                POD_PROXY,
                RESIZE,
                STATUS,
            ),
            selectable_fields=POD_FIELDS,
        ),
        Resource(
            kind="PodTemplate",
            columns=printing.pods.POD_TEMPLATE,
            defaults=defaults.pods.POD_TEMPLATE,
            validate=validation.pods.validate_pod_template,
        ),
        Resource(
            kind="ReplicationController",
            columns=printing.workloads.REPLICATION_CONTROLLER,
            defaults=defaults.workloads.REPLICATION_CONTROLLER,
            validate=validator(validation.workloads.REPLICATION_CONTROLLER),
            short_names=("rc",),
            categories=("all",),
            subresources=(SCALE, STATUS),
            selectable_fields=("status.replicas",),
        ),
        Resource(
            kind="ResourceQuota",
            columns=printing.cluster.RESOURCE_QUOTA,
            defaults=defaults.cluster.RESOURCE_QUOTA,
            validate=validator(validation.cluster.RESOURCE_QUOTA),
            short_names=("quota",),
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="Secret",
            columns=printing.cluster.SECRET,
            defaults=defaults.cluster.SECRET,
            validate=validation.cluster.validate_secret,
            validate_update=validation.cluster.validate_secret_update,
            selectable_fields=("type",),
            has_generation=False,
        ),
        Resource(
            kind="ServiceAccount",
            short_names=("sa",),
            subresources=(TOKEN,),
            has_generation=False,
        ),
        Resource(
            kind="Service",
            prepare_for_update=prepare_service_for_update,
            name_rule=dns_label,
            validate=validator(validation.network.SERVICE),
            validate_update=validation.network.validate_service_update,
            columns=printing.network.SERVICE,
            defaults=defaults.network.SERVICE,
            short_names=("svc",),
            categories=("all",),
            subresources=(SERVICE_PROXY, STATUS),
            selectable_fields=("spec.clusterIP", "spec.type"),
            has_generation=False,
        ),
    ),
)
