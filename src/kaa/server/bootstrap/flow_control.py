"""The flow schemas and priority levels of every cluster, with upstream's names and numbers.

The *mandatory* ones hold even where somebody has deleted them: nothing limits `exempt`, and `catch-all` takes the rest.
The *suggested* ones separate nodes, leader election, controllers and everybody else, so that none can shut out another.
All follow this table unless they are annotated with `apf.kubernetes.io/autoupdate-spec: "false"`.
"""

from collections.abc import Iterator

from kaa.api.objects import Object, annotations_of

AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"

ALL = ["*"]
LEVEL, SCHEMA = "PriorityLevelConfiguration", "FlowSchema"


def _limited(shares: int, lendable_percent: int, queues: int = 0, hand_size: int = 0) -> Object:
    response: Object = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand_size, "queueLengthLimit": 50}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable_percent,
        "limitResponse": response,
    }
    return {"type": "Limited", "limited": limited}


EXEMPT = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}

MANDATORY_LEVELS = {"exempt": EXEMPT, "catch-all": _limited(5, 0)}

SUGGESTED_LEVELS = {
    "system": _limited(30, 33, 64, 6),
    "node-high": _limited(40, 25, 64, 6),
    "leader-election": _limited(10, 0, 16, 4),
    "workload-high": _limited(40, 50, 128, 6),
    "workload-low": _limited(100, 90, 128, 6),
    "global-default": _limited(20, 50, 128, 6),
}


def _group(name: str) -> Object:
    return {"kind": "Group", "group": {"name": name}}


def _user(name: str) -> Object:
    return {"kind": "User", "user": {"name": name}}


def _system_account(name: str) -> Object:
    return {"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}}


def _resources(verbs: list[str], group: str, resources: list[str], *, cluster_scope: bool = False) -> Object:
    rule: Object = {"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ALL}
    return {**rule, "clusterScope": True} if cluster_scope else rule


EVERY_RESOURCE = _resources(ALL, "*", ALL, cluster_scope=True)
EVERY_PATH: Object = {"verbs": ALL, "nonResourceURLs": ALL}
EVERYTHING: Object = {"resourceRules": [EVERY_RESOURCE], "nonResourceRules": [EVERY_PATH]}

ELECTION_VERBS = ["get", "create", "update"]
CONTROLLERS, SCHEDULER = _user("system:kube-controller-manager"), _user("system:kube-scheduler")
EVERYBODY = [_group("system:unauthenticated"), _group("system:authenticated")]
LEASES = _resources(ELECTION_VERBS, "coordination.k8s.io", ["leases"])


def _schema(level: str, precedence: int, by: str, subjects: list[Object], requests: Object) -> Object:
    spec: Object = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": subjects, **requests}],
    }
    return {**spec, "distinguisherMethod": {"type": by}} if by else spec


MANDATORY_SCHEMAS = {
    "exempt": _schema("exempt", 1, "", [_group("system:masters")], EVERYTHING),
    "catch-all": _schema("catch-all", 10_000, "ByUser", EVERYBODY, EVERYTHING),
}

SUGGESTED_SCHEMAS = {
    "probes": _schema(
        "exempt",
        2,
        "",
        EVERYBODY,
        {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]},
    ),
    "system-leader-election": _schema(
        "leader-election",
        100,
        "ByUser",
        [CONTROLLERS, SCHEDULER, _system_account("*")],
        {"resourceRules": [LEASES]},
    ),
    "system-node-high": _schema(
        "node-high",
        400,
        "ByUser",
        [_group("system:nodes")],
        {
            "resourceRules": [
                _resources(ALL, "", ["nodes", "nodes/status"], cluster_scope=True),
                _resources(ALL, "coordination.k8s.io", ["leases"]),
            ]
        },
    ),
    "system-nodes": _schema("system", 500, "ByUser", [_group("system:nodes")], EVERYTHING),
    "kube-controller-manager": _schema("workload-high", 800, "ByNamespace", [CONTROLLERS], EVERYTHING),
    "kube-scheduler": _schema("workload-high", 800, "ByNamespace", [SCHEDULER], EVERYTHING),
    "kube-system-service-accounts": _schema("workload-high", 900, "ByNamespace", [_system_account("*")], EVERYTHING),
    "service-accounts": _schema("workload-low", 9_000, "ByUser", [_group("system:serviceaccounts")], EVERYTHING),
    "global-default": _schema("global-default", 9_900, "ByUser", EVERYBODY, EVERYTHING),
}


def flow_control_objects() -> Iterator[tuple[str, Object]]:
    """kind, object: levels before the schemas that name them."""
    for name, spec in {**MANDATORY_LEVELS, **SUGGESTED_LEVELS}.items():
        yield LEVEL, _automatic(name, spec)
    for name, spec in {**MANDATORY_SCHEMAS, **SUGGESTED_SCHEMAS}.items():
        yield SCHEMA, _automatic(name, spec)


def mandatory(kind: str) -> Iterator[Object]:
    """The mandatory objects of a kind, for where they are not there."""
    for name, spec in (MANDATORY_LEVELS if kind == LEVEL else MANDATORY_SCHEMAS).items():
        yield _automatic(name, spec)


def restored(stored: Object, wanted: Object) -> Object:
    """The stored object with the spec that it should have, unless somebody has taken it over."""
    return stored if annotations_of(stored).get(AUTOUPDATE) == "false" else {**stored, "spec": wanted["spec"]}


def _automatic(name: str, spec: Object) -> Object:
    return {"metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}}, "spec": spec}
