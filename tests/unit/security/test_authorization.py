"""Who may do what: RBAC, the node authorizer, and nobody giving away what they do not have."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.server.authorization import Authorization, Masters
from kaa.server.authorization.escalation import EscalationCheck
from kaa.server.authorization.node import NodeAuthorizer, references
from kaa.server.authorization.rbac import RBACAuthorizer
from kaa.server.authorization.rules import Rule, compact, not_covered, singles
from kaa.server.bootstrap.policy import policy_objects, rules
from kaa.server.request import AdmissionRequest, Attributes, User

CATALOG = builtin_catalog()


def bind(reader: Any, kind: str, name: str, role: tuple[str, str], *subjects: Object, namespace: str = "") -> None:
    reader.add(kind, name, namespace, roleRef={"kind": role[0], "name": role[1]}, subjects=list(subjects))


USER = {"kind": "User", "name": "jane"}
GROUP = {"kind": "Group", "name": "dev"}
ACCOUNT = {"kind": "ServiceAccount", "name": "builder", "namespace": "a"}


def test_nothing_is_allowed_by_default(reader: Any, asks: Callable[..., Attributes]) -> None:
    """An empty cluster allows nobody anything."""
    assert RBACAuthorizer(reader).authorize(asks("jane", "get", "pods", namespace="a")) == (False, "")


def test_a_role_binding_reaches_its_namespace_only(reader: Any, asks: Callable[..., Attributes]) -> None:
    """The same question in another namespace, or about everything, is refused."""
    reader.add("Role", "r", "a", rules=rules("get,list pods"))
    bind(reader, "RoleBinding", "b", ("Role", "r"), USER, namespace="a")
    rbac = RBACAuthorizer(reader)
    reason = 'RBAC: allowed by RoleBinding "b/a" of Role "r" to User "jane"'
    assert rbac.authorize(asks("jane", "get", "pods", namespace="a")) == (True, reason)
    for question in (
        asks("jane", "get", "pods", namespace="b"),
        asks("jane", "list", "pods"),
        asks("jane", "delete", "pods", namespace="a"),
        asks("jane", "get", "pods/log", namespace="a"),
        asks("anna", "get", "pods", namespace="a"),
    ):
        assert rbac.authorize(question) == (False, "")


def test_reasons_name_who_gave_it(reader: Any, asks: Callable[..., Attributes]) -> None:
    """`kubectl auth can-i` and audit logs show upstream's sentence."""
    reader.add("ClusterRole", "view", rules=rules("get pods"))
    bind(reader, "ClusterRoleBinding", "devs", ("ClusterRole", "view"), GROUP, ACCOUNT)
    rbac = RBACAuthorizer(reader)
    by_group = rbac.authorize(asks(User("x", ("dev",)), "get", "pods"))
    assert by_group == (True, 'RBAC: allowed by ClusterRoleBinding "devs" of ClusterRole "view" to Group "dev"')
    by_account = rbac.authorize(asks("system:serviceaccount:a:builder", "get", "pods", namespace="b"))
    assert by_account[1].endswith('to ServiceAccount "builder/a"')


def test_a_missing_role_is_said(reader: Any, asks: Callable[..., Attributes]) -> None:
    """The 403 tells that a binding leads nowhere."""
    bind(reader, "ClusterRoleBinding", "b", ("ClusterRole", "gone"), USER)
    denied = RBACAuthorizer(reader).authorize(asks("jane", "get", "pods"))
    assert denied == (False, 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found')


def test_decisions_follow_changes(reader: Any, asks: Callable[..., Attributes]) -> None:
    """A remembered decision must not outlive the binding that made it."""
    rbac, question = RBACAuthorizer(reader), asks("jane", "get", "pods")
    assert not rbac.authorize(question)[0]
    reader.add("ClusterRole", "view", rules=rules("get pods"))
    bind(reader, "ClusterRoleBinding", "b", ("ClusterRole", "view"), USER)
    assert rbac.authorize(question)[0]
    reader.remove("ClusterRoleBinding", "b")
    assert not rbac.authorize(question)[0]


def test_aggregated_roles_have_the_rules_they_select(reader: Any, asks: Callable[..., Attributes]) -> None:
    """A ClusterRole with the label counts at once, through two levels, and a circle ends."""
    selects = {"clusterRoleSelectors": [{"matchLabels": {"to": "edit"}}]}
    reader.add("ClusterRole", "edit", aggregationRule=selects, metadata={"labels": {"to": "edit"}})
    reader.add("ClusterRole", "crontabs", rules=rules("get crontabs.x.io"), metadata={"labels": {"to": "edit"}})
    bind(reader, "ClusterRoleBinding", "b", ("ClusterRole", "edit"), USER)
    assert RBACAuthorizer(reader).authorize(asks("jane", "get", "crontabs.x.io", namespace="a"))[0]


@pytest.mark.parametrize(
    ("line", "verb", "what", "name", "allowed"),
    [
        ("* *.*", "delete", "pods/log", "", True),
        ("get */scale", "get", "deployments/scale", "", True),
        ("get *.*/scale", "get", "deployments.apps/scale", "", True),
        ("get *.*/scale", "get", "deployments.apps", "", False),
        ("get pods", "get", "pods.metrics.k8s.io", "", False),
        ("get secrets names=a,b", "get", "secrets", "a", True),
        ("get secrets names=a,b", "get", "secrets", "c", False),
        ("get secrets names=a,b", "list", "secrets", "", False),
        ("get /healthz /apis/*", "get", "/apis/apps", "", True),
        ("get /healthz", "get", "/healthz/etcd", "", False),
        ("get pods", "get", "/pods", "", False),
    ],
)
def test_rules(asks: Callable[..., Attributes], line: str, verb: str, what: str, name: str, allowed: bool) -> None:
    """The meaning of stars, names, subresources and paths."""
    question = asks("x", verb, what, name=name)
    assert any(Rule.of(rule).allows(question) for rule in rules(line)) is allowed


WORDS = st.sampled_from(["*", "a", "b", "a/s", "*/s"])
RULES = st.fixed_dictionaries(
    {
        "verbs": st.lists(st.sampled_from(["*", "get", "list"]), min_size=1, max_size=2),
        "apiGroups": st.lists(st.sampled_from(["*", "", "apps"]), min_size=1, max_size=2),
        "resources": st.lists(WORDS, min_size=1, max_size=2),
    }
)


@given(RULES)
def test_a_rule_covers_itself(rule: Object) -> None:
    """Whoever holds a rule may grant exactly that rule."""
    assert not_covered([Rule.of(rule)], [rule]) == []


@given(RULES, RULES)
def test_what_is_covered_is_allowed(owned: Object, wanted: Object) -> None:
    """If nothing is missing, then each plain request that the granted rule allows was allowed before."""
    if not_covered([Rule.of(owned)], [wanted]):
        return
    for single in singles(wanted):
        if "*" not in f"{single.verb}{single.group}{single.resource}":
            plural, _, subresource = single.resource.partition("/")
            question = Attributes(User("x"), single.verb, single.group, "", plural, subresource, is_resource=True)
            assert Rule.of(owned).allows(question)


def test_compact_rules_read_as_upstreams() -> None:
    """The text in escalation errors."""
    (rule,) = rules("get,list pods names=x")
    assert compact(rule) == '{APIGroups:[""], Resources:["pods"], ResourceNames:["x"], Verbs:["get" "list"]}'


async def grant(reader: Any, user: User, kind: str, obj: Object, old: Object | None = None) -> None:
    rbac = RBACAuthorizer(reader)
    check = EscalationCheck(rbac, Authorization((Masters(), rbac)))
    resource = CATALOG.named(kind)
    namespace = obj["metadata"].get("namespace", "")
    attributes = Attributes(user, "create", resource.group, "v1", resource.name, "", namespace, is_resource=True)
    await check.validate(AdmissionRequest(attributes, resource, "UPDATE" if old else "CREATE", obj, old))


JANE = User("jane", ("dev", "system:authenticated"))


async def test_nobody_grants_what_they_do_not_have(reader: Any) -> None:
    """Upstream's text, which tells exactly what is missing."""
    reader.add("ClusterRole", "pods", rules=rules("get,list pods"))
    bind(reader, "ClusterRoleBinding", "b", ("ClusterRole", "pods"), USER)
    role = {"metadata": {"name": "r", "namespace": "a"}, "rules": rules("get,delete pods\nget secrets")}
    with pytest.raises(APIError) as raised:
        await grant(reader, JANE, "Role", role)
    assert raised.value.message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) is'
        " attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    await grant(reader, JANE, "Role", {**role, "rules": rules("list pods")})
    await grant(reader, JANE, "Role", role, old=role)
    await grant(reader, User("root", ("system:masters",)), "Role", role)


async def test_escalate_and_bind_allow_it(reader: Any) -> None:
    """The two verbs by which an administrator lets somebody manage roles."""
    role = {"metadata": {"name": "r", "namespace": "a"}, "rules": rules("get secrets")}
    binding = {
        "metadata": {"name": "x", "namespace": "a"},
        "roleRef": {"kind": "ClusterRole", "name": "admin"},
        "subjects": [USER],
    }
    reader.add("ClusterRole", "admin", rules=rules("* *.*"))
    with pytest.raises(APIError, match="not currently held"):
        await grant(reader, JANE, "RoleBinding", binding)
    reader.add(
        "ClusterRole",
        "granter",
        rules=rules(
            "escalate roles.rbac.authorization.k8s.io\nbind clusterroles.rbac.authorization.k8s.io names=admin"
        ),
    )
    bind(reader, "ClusterRoleBinding", "b", ("ClusterRole", "granter"), USER)
    await grant(reader, JANE, "Role", role)
    await grant(reader, JANE, "RoleBinding", binding)
    with pytest.raises(APIError, match='"other" not found'):
        await grant(reader, JANE, "RoleBinding", {**binding, "roleRef": {"kind": "ClusterRole", "name": "other"}})


async def test_aggregation_needs_everything(reader: Any) -> None:
    """Who writes a selector cannot know what it will select."""
    role = {"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": []}}
    with pytest.raises(APIError, match="must have cluster-admin privileges to use an aggregationRule"):
        await grant(reader, JANE, "ClusterRole", role)


NODE = User("system:node:n1", ("system:nodes",))


@pytest.fixture
def node(reader: Any, asks: Callable[..., Attributes]) -> Callable[..., bool]:
    reader.add(
        "Pod",
        "p",
        "a",
        spec={
            "nodeName": "n1",
            "serviceAccountName": "builder",
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "env"}}]}],
            "volumes": [{"name": "v", "secret": {"secretName": "tls"}}],
        },
    )
    reader.add("Pod", "q", "a", spec={"nodeName": "n2", "imagePullSecrets": [{"name": "pull"}], "containers": []})
    authorizer = NodeAuthorizer(reader)

    def may(verb: str, what: str, name: str = "", namespace: str = "a") -> bool:
        return authorizer.authorize(asks(NODE, verb, what, namespace=namespace, name=name))[0]

    return may


@pytest.mark.parametrize(
    ("verb", "what", "name", "namespace", "allowed"),
    [
        ("get", "secrets", "tls", "a", True),
        ("watch", "configmaps", "env", "a", True),
        ("get", "secrets", "pull", "a", False),
        ("get", "secrets", "tls", "b", False),
        ("list", "secrets", "", "a", False),
        ("create", "serviceaccounts/token", "builder", "a", True),
        ("create", "serviceaccounts/token", "default", "a", False),
        ("list", "pods", "", "", True),
        ("patch", "pods/status", "p", "a", True),
        ("update", "nodes/status", "n1", "", True),
        ("delete", "nodes", "n1", "", False),
        ("update", "leases.coordination.k8s.io", "n1", "kube-node-lease", True),
        ("create", "leases.coordination.k8s.io", "", "kube-node-lease", True),
        ("update", "leases.coordination.k8s.io", "n2", "kube-node-lease", False),
        ("update", "leases.coordination.k8s.io", "n1", "kube-system", False),
        ("list", "services", "", "", True),
        ("create", "deployments.apps", "", "a", False),
    ],
)
def test_a_node_sees_what_its_pods_need(
    node: Callable[..., bool], verb: str, what: str, name: str, namespace: str, allowed: bool
) -> None:
    """A stolen node gives away no secret of a pod that ran elsewhere."""
    assert node(verb, what, name, namespace) is allowed


def test_who_only_calls_himself_a_node_is_none(reader: Any, asks: Callable[..., Attributes]) -> None:
    """The name alone, without the group, is nothing."""
    question = asks("system:node:n1", "list", "pods")
    assert NodeAuthorizer(reader).authorize(question) == (False, "")


def test_references_of_a_pod() -> None:
    """Everything that a kubelet has to read for a pod."""
    container = {
        "name": "c",
        "env": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "s1"}}}],
        "envFrom": [{"configMapRef": {"name": "c1"}}],
    }
    volumes = [
        {"name": "a", "configMap": {"name": "c2"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "s2"}}, {"configMap": {"name": "c3"}}]}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "scratch", "ephemeral": {}},
        {"name": "d", "emptyDir": {}},
    ]
    pod = {"metadata": {"name": "p"}, "spec": {"initContainers": [container], "volumes": volumes}}
    assert references(pod) == {
        ("secrets", "s1"),
        ("secrets", "s2"),
        ("configmaps", "c1"),
        ("configmaps", "c2"),
        ("configmaps", "c3"),
        ("persistentvolumeclaims", "data"),
        ("persistentvolumeclaims", "p-scratch"),
    }


@pytest.fixture
def policy(reader: Any) -> RBACAuthorizer:
    """RBAC with the default policy."""
    for obj in policy_objects():
        reader.put(obj["kind"], obj)
    return RBACAuthorizer(reader)


@pytest.mark.parametrize(
    ("user", "verb", "what", "allowed"),
    [
        (User("x", ("system:masters",)), "delete", "nodes", True),
        (User("x", ("system:authenticated",)), "get", "/apis/apps", True),
        (User("x", ("system:authenticated",)), "create", "selfsubjectaccessreviews.authorization.k8s.io", True),
        (User("x", ("system:authenticated",)), "list", "pods", False),
        (User("x", ("system:unauthenticated",)), "get", "/readyz", True),
        (User("x", ("system:unauthenticated",)), "get", "/apis", False),
        (User("system:kube-scheduler"), "create", "pods/binding", True),
        (User("system:kube-scheduler"), "get", "secrets", False),
        (User("system:kube-controller-manager"), "create", "replicasets.apps", True),
        (User("system:kube-controller-manager"), "delete", "widgets.example.com", True),
        (User("system:kube-proxy"), "watch", "endpointslices.discovery.k8s.io", True),
        (User("system:kaa-dns"), "watch", "services", True),
        (User("system:kaa-dns"), "get", "secrets", False),
        (User("system:serviceaccount:kube-system:job-controller"), "create", "pods", True),
        (User("system:serviceaccount:default:default"), "list", "pods", False),
    ],
)
def test_the_default_policy(
    policy: RBACAuthorizer, asks: Callable[..., Attributes], user: User, verb: str, what: str, allowed: bool
) -> None:
    """Each component may do its work, and not its neighbour's."""
    assert policy.authorize(asks(user, verb, what))[0] is allowed


def test_admin_contains_edit_contains_view(policy: RBACAuthorizer) -> None:
    """The user-facing roles nest, and only admin manages roles."""

    def compiled(name: str) -> list[Rule]:
        return [Rule.of(rule) for rule in policy.rules_of_role("ClusterRole", name, "") or []]

    view, edit = (policy.rules_of_role("ClusterRole", name, "") or [] for name in ("view", "edit"))
    assert view
    assert not_covered(compiled("edit"), view) == []
    assert not_covered(compiled("admin"), edit) == []
    assert not_covered(compiled("edit"), rules("create roles.rbac.authorization.k8s.io"))
    assert not_covered(compiled("view"), rules("get secrets"))
