"""Admission: what each plugin makes of a write, and what it refuses with which words."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kaa.server.admission
from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.server.admission import PLUGINS, AdmissionChain
from kaa.server.admission.plugin import Context
from kaa.server.admission.pod_standards import violations
from kaa.server.authorization.admin_access import AdminAccessCheck
from kaa.server.request import AdmissionRequest, Attributes, User

CATALOG = builtin_catalog()
Admit = Callable[..., Any]

ALPINE = {"name": "c", "image": "alpine"}


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "p", "namespace": "a"}, "spec": {"containers": [dict(ALPINE)], **spec}}


class AllowNothing:
    """An authorizer that says no."""

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        return False, ""


@pytest.fixture
def admit(reader: Any, clock: Any) -> Admit:
    """Passes one write through all plugins and returns the request; namespace `a` and its default account are there."""
    reader.add("Namespace", "a")
    reader.add("ServiceAccount", "default", "a")
    chain = AdmissionChain(Context(reader, AllowNothing(), clock), checks=(AdminAccessCheck(reader),))

    async def admit(
        kind: str,
        obj: Object | None,
        old: Object | None = None,
        *,
        user: User = User("jane"),  # noqa: B008
        subresource: str = "",
        name: str = "",
    ) -> AdmissionRequest:
        resource = CATALOG.named(kind)
        operation = "DELETE" if obj is None else "UPDATE" if old else "CREATE"
        metadata = (obj or old or {}).get("metadata", {})
        attributes = Attributes(
            user,
            operation.lower(),
            resource.group,
            resource.version,
            resource.name,
            subresource,
            metadata.get("namespace", ""),
            name or ("" if operation == "CREATE" else metadata.get("name", "")),
            is_resource=True,
        )
        request = AdmissionRequest(attributes, resource, operation, obj, old)
        await chain.mutate(request)
        await chain.validate(request)
        return request

    return admit


def test_every_plugin_is_in_the_list() -> None:
    """A row that somebody wrote and did not list would silently admit everything."""
    room = Path(kaa.server.admission.__file__).parent
    written = sum(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Plugin"
        for file in room.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
    )
    assert written == len(PLUGINS)


async def test_a_namespace_must_be_there(admit: Admit) -> None:
    """404 of the namespace, as kubectl shows it."""
    with pytest.raises(APIError) as raised:
        await admit("ConfigMap", {"metadata": {"name": "x", "namespace": "none"}})
    assert (raised.value.code, raised.value.message) == (404, 'namespaces "none" not found')


async def test_nothing_new_in_a_namespace_that_ends(admit: Admit, reader: Any) -> None:
    """The namespace controller could never finish otherwise; the cause is what controllers look for."""
    reader.add("Namespace", "b", metadata={"deletionTimestamp": "2030-01-01T00:00:00Z"})
    new = {"metadata": {"name": "x", "namespace": "b"}}
    with pytest.raises(APIError) as raised:
        await admit("ConfigMap", new)
    why = "unable to create new content in namespace b because it is being terminated"
    assert raised.value.message == f'configmaps "x" is forbidden: {why}'
    assert raised.value.causes[0].reason == "NamespaceTerminating"
    await admit("ConfigMap", new, old=new)


async def test_some_namespaces_never_end(admit: Admit) -> None:
    """A cluster without kube-system is none."""
    with pytest.raises(APIError, match='namespaces "default" is forbidden: this namespace may not be deleted'):
        await admit("Namespace", None, {"metadata": {"name": "default"}})
    await admit("Namespace", None, {"metadata": {"name": "a"}})


async def test_a_pod_gets_account_token_and_tolerations(admit: Admit) -> None:
    """What every pod looks like after upstream's admission."""
    spec = (await admit("Pod", pod())).object["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    (mount,), (volume,) = spec["containers"][0]["volumeMounts"], spec["volumes"]
    assert mount == {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    assert volume["name"].startswith("kube-api-access-")
    assert volume["projected"]["sources"][0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert [(t["key"], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]


async def test_an_absent_account_is_refused(admit: Admit, reader: Any, clock: Any) -> None:
    """`default` is waited for a moment, as a controller makes it; others are not."""
    with pytest.raises(APIError) as raised:
        await admit("Pod", pod(serviceAccountName="x"))
    why = 'error looking up service account a/x: serviceaccount "x" not found'
    assert raised.value.message == f'pods "p" is forbidden: {why}'
    reader.remove("ServiceAccount", "default", "a")
    clock.slept_seconds = 0
    with pytest.raises(APIError, match='serviceaccount "default" not found'):
        await admit("Pod", pod())
    assert 1 <= clock.slept_seconds <= 2


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [(None, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
async def test_who_decides_about_the_token(
    admit: Admit, reader: Any, of_account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    """The pod's word comes before the account's."""
    reader.get("ServiceAccount", "default", "a")["automountServiceAccountToken"] = of_account
    spec = (await admit("Pod", pod(automountServiceAccountToken=of_pod))).object["spec"]
    assert bool(spec.get("volumes")) is mounted


async def test_pull_secrets_come_from_the_account(admit: Admit, reader: Any) -> None:
    """Unless the pod has its own."""
    reader.get("ServiceAccount", "default", "a")["imagePullSecrets"] = [{"name": "registry"}]
    assert (await admit("Pod", pod())).object["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    own = pod(imagePullSecrets=[{"name": "own"}])
    assert (await admit("Pod", own)).object["spec"]["imagePullSecrets"] == [{"name": "own"}]


async def test_priority_classes(admit: Admit, reader: Any) -> None:
    """The number comes from the class; a number of one's own, or an unknown class, is refused."""
    reader.add("PriorityClass", "high", value=1000, preemptionPolicy="Never")
    spec = (await admit("Pod", pod(priorityClassName="high"))).object["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    with pytest.raises(APIError, match='pods "p" is forbidden: no PriorityClass with name none was found'):
        await admit("Pod", pod(priorityClassName="none"))
    with pytest.raises(APIError, match=r"the integer value of priority \(5\) must not be provided in pod spec"):
        await admit("Pod", pod(priorityClassName="high", priority=5))


async def test_one_default_priority_class(admit: Admit, reader: Any) -> None:
    """Pods without a class get it, and a second default is refused."""
    reader.add("PriorityClass", "normal", value=10, globalDefault=True)
    spec = (await admit("Pod", pod())).object["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (10, "normal")
    with pytest.raises(APIError, match="PriorityClass normal is already marked as default"):
        await admit("PriorityClass", {"metadata": {"name": "other"}, "value": 1, "globalDefault": True})


async def test_a_new_node_is_tainted(admit: Admit) -> None:
    """Nothing is scheduled there before the node controller has seen it ready."""
    node = (await admit("Node", {"metadata": {"name": "n1"}})).object
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_limit_range_defaults(admit: Admit, reader: Any) -> None:
    """Missing requests and limits are filled in, given ones kept, and an annotation says so."""
    item = {"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}
    reader.add("LimitRange", "l", "a", spec={"limits": [item]})
    new = pod()
    new["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    made = (await admit("Pod", new)).object
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "100m"},
    }
    said = "LimitRanger plugin set: cpu request for container c; memory limit for container c"
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == said


@pytest.mark.parametrize(
    ("limits", "resources", "text"),
    [
        (
            {"type": "Container", "max": {"cpu": "500m"}},
            {"limits": {"cpu": "600m"}},
            "maximum cpu usage per Container is 500m, but limit is 600m",
        ),
        (
            {"type": "Container", "max": {"cpu": "500m"}},
            {},
            "maximum cpu usage per Container is 500m.  No limit is specified",
        ),
        (
            {"type": "Container", "min": {"memory": "64Mi"}},
            {"requests": {"memory": "32Mi"}},
            "minimum memory usage per Container is 64Mi, but request is 32Mi",
        ),
        (
            {"type": "Pod", "max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}},
            "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "3"}, "requests": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
    ],
)
async def test_limit_range_bounds(admit: Admit, reader: Any, limits: Object, resources: Object, text: str) -> None:
    """What is beyond a bound is refused in upstream's words."""
    reader.add("LimitRange", "l", "a", spec={"limits": [limits]})
    new = pod()
    new["spec"]["containers"][0]["resources"] = resources
    with pytest.raises(APIError) as raised:
        await admit("Pod", new)
    assert raised.value.message == f'pods "p" is forbidden: {text}'


async def test_storage_defaults(admit: Admit, reader: Any) -> None:
    """A claim without class gets the newest default one; both claims and volumes are protected."""
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    for name, created in (("old", "2029-01-01T00:00:00Z"), ("new", "2030-01-01T00:00:00Z")):
        reader.add("StorageClass", name, metadata={"annotations": marked, "creationTimestamp": created})
    claim = {"metadata": {"name": "c", "namespace": "a"}, "spec": {}}
    made = (await admit("PersistentVolumeClaim", claim)).object
    assert made["spec"]["storageClassName"] == "new"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    none = {"metadata": {"name": "c", "namespace": "a"}, "spec": {"storageClassName": ""}}
    assert (await admit("PersistentVolumeClaim", none)).object["spec"]["storageClassName"] == ""


async def test_runtime_classes(admit: Admit, reader: Any) -> None:
    """Overhead and scheduling come from the class; an unknown class is refused."""
    scheduling = {"nodeSelector": {"sandbox": "yes"}, "tolerations": [{"key": "sandbox"}]}
    reader.add("RuntimeClass", "gvisor", overhead={"podFixed": {"memory": "64Mi"}}, scheduling=scheduling)
    spec = (await admit("Pod", pod(runtimeClassName="gvisor"))).object["spec"]
    assert spec["overhead"] == {"memory": "64Mi"}
    assert spec["nodeSelector"] == {"sandbox": "yes"}
    assert {"key": "sandbox"} in spec["tolerations"]
    with pytest.raises(APIError, match='pod rejected: RuntimeClass "none" not found'):
        await admit("Pod", pod(runtimeClassName="none"))


@pytest.mark.parametrize("kind", ["ResourceClaim", "ResourceClaimTemplate"])
async def test_admin_access_to_devices(admit: Admit, reader: Any, kind: str) -> None:
    """Devices that others use are not had for the asking: only in a namespace that was labelled for it."""

    def claim(**exactly: Any) -> Object:
        spec = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", **exactly}}]}}
        return {
            "metadata": {"name": "c", "namespace": "a"},
            "spec": spec if kind == "ResourceClaim" else {"spec": spec},
        }

    await admit(kind, claim())
    with pytest.raises(APIError, match=r"requests\[0\]\.exactly\.adminAccess: Forbidden: admin access") as refusal:
        await admit(kind, claim(adminAccess=True))
    assert refusal.value.reason == "Invalid"
    await admit(kind, claim(adminAccess=True), claim(adminAccess=True))
    reader.add("Namespace", "a", metadata={"labels": {"resource.kubernetes.io/admin-access": "true"}})
    await admit(kind, claim(adminAccess=True))


async def test_default_ingress_class(admit: Admit, reader: Any) -> None:
    """Only an Ingress that names none gets it."""
    marked = {"ingressclass.kubernetes.io/is-default-class": "true"}
    reader.add("IngressClass", "nginx", metadata={"annotations": marked})
    ingress = {"metadata": {"name": "i", "namespace": "a"}, "spec": {}}
    made = (await admit("Ingress.networking.k8s.io", ingress)).object
    assert made["spec"]["ingressClassName"] == "nginx"


KUBELET = User("system:node:n1", ("system:nodes",))


@pytest.mark.parametrize(
    ("kind", "new", "old", "subresource", "text"),
    [
        ("Pod", pod(), None, "", "can only create mirror pods"),
        ("Pod", None, pod(nodeName="n2"), "", "can only delete pods with spec.nodeName set to itself"),
        ("Pod", pod(nodeName="n2"), pod(nodeName="n2"), "status", "can only update pod status for pods with"),
        ("Node", {"metadata": {"name": "n2"}}, None, "", 'node "n1" is not allowed to modify node "n2"'),
        (
            "Node",
            {"metadata": {"name": "n1"}, "spec": {"taints": []}},
            {"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "x"}]}},
            "",
            "is not allowed to modify taints",
        ),
        (
            "Node",
            {"metadata": {"name": "n1", "labels": {"node-restriction.kubernetes.io/tenant": "x"}}},
            {"metadata": {"name": "n1"}},
            "",
            "is not allowed to modify labels: node-restriction.kubernetes.io/tenant",
        ),
    ],
)
async def test_a_kubelet_writes_only_its_own(
    admit: Admit, kind: str, new: Object | None, old: Object | None, subresource: str, text: str
) -> None:
    """A stolen node can neither label itself into another tenant nor touch other nodes' pods."""
    with pytest.raises(APIError, match=text):
        await admit(kind, new, old, user=KUBELET, subresource=subresource)


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({}, ""),
        ({"nodeName": "n2"}, 'which is not the requesting node "n1"'),
        ({"podUID": "other"}, 'is not for a pod that runs on node "n1"'),
        ({"podName": "missing"}, 'is not for a pod that runs on node "n1"'),
        ({"serviceAccountName": "admin"}, "is not for the service account of the pod"),
    ],
)
async def test_a_kubelet_asks_for_certificates_of_its_own_pods(
    admit: Admit, reader: Any, change: dict[str, str], objection: str
) -> None:
    """A stolen node must not get one of a pod that runs elsewhere, or of another service account."""
    reader.add("Pod", "p", "a", metadata={"uid": "u"}, spec={"nodeName": "n1", "serviceAccountName": "web"})
    spec = {"nodeName": "n1", "podName": "p", "podUID": "u", "serviceAccountName": "web", **change}
    request = {"metadata": {"name": "r", "namespace": "a"}, "spec": spec}
    if not objection:
        await admit("PodCertificateRequest", request, user=KUBELET)
        return
    with pytest.raises(APIError, match=objection):
        await admit("PodCertificateRequest", request, user=KUBELET)


async def test_a_kubelet_registers_and_reports(admit: Admit) -> None:
    """What it must be able to do all day."""
    labels = {"kubernetes.io/hostname": "n1", "node.kubernetes.io/instance-type": "x", "own": "label"}
    await admit("Node", {"metadata": {"name": "n1", "labels": labels}}, user=KUBELET)
    await admit("Pod", pod(nodeName="n1"), pod(nodeName="n1"), user=KUBELET, subresource="status")
    await admit("Pod", None, pod(nodeName="n1"), user=KUBELET)


async def test_signing_needs_the_signer(admit: Admit) -> None:
    """Write access to requests alone signs nothing."""
    old = {"metadata": {"name": "csr"}, "spec": {"signerName": "example/s"}}
    with pytest.raises(APIError, match='user not permitted to approve requests with signerName "example/s"'):
        await admit("CertificateSigningRequest", old, old, subresource="approval")
    signed = {**old, "status": {"certificate": "eA=="}}
    with pytest.raises(APIError, match='user not permitted to sign requests with signerName "example/s"'):
        await admit("CertificateSigningRequest", signed, old, subresource="status")


async def test_a_certificate_request_says_who_asked(admit: Admit) -> None:
    """An approver trusts it: what the request claims of itself is thrown away."""
    forged = {"metadata": {"name": "csr"}, "spec": {"signerName": "example/s", "username": "root", "uid": "0"}}
    request = await admit("CertificateSigningRequest", forged, user=User("jane", ("dev",), extra={"k": ("v",)}))
    assert request.object is not None
    spec = {"signerName": "example/s", "username": "jane", "groups": ["dev"], "extra": {"k": ["v"]}}
    assert request.object["spec"] == spec


async def test_pod_security_enforces_and_warns(admit: Admit, reader: Any) -> None:
    """enforce refuses pods, warn speaks up for pods and for the workloads that would make them."""
    labels = {
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/warn": "restricted",
        "pod-security.kubernetes.io/warn-version": "v1.37",
    }
    reader.add("Namespace", "a", metadata={"labels": labels})
    with pytest.raises(APIError) as raised:
        await admit("Pod", pod(hostNetwork=True))
    violated = 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    assert raised.value.message == f'pods "p" is forbidden: {violated}'
    request = await admit("Pod", pod())
    assert request.warnings[0].startswith('would violate PodSecurity "restricted:v1.37": allowPrivilegeEscalation')
    template = {"metadata": {}, "spec": {"containers": [dict(ALPINE)], "hostPID": True}}
    deployment = {"metadata": {"name": "d", "namespace": "a"}, "spec": {"template": template}}
    request = await admit("Deployment", deployment)
    assert "host namespaces (hostPID=true)" in request.warnings[0]


def test_the_restricted_standard_in_upstreams_words() -> None:
    """The sentence that everybody who hardens a cluster has met."""
    assert violations({"containers": [dict(ALPINE)]}, "restricted") == [
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault"'
        ' or "Localhost")',
    ]
    hardened = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert violations({"containers": [{**ALPINE, "securityContext": hardened}]}, "restricted") == []


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"hostIPC": True, "hostPID": True}, "host namespaces (hostPID=true, hostIPC=true)"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        ({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}, 'hostPort (container "c" uses hostPort 80)'),
        (
            {"containers": [{"name": n, "securityContext": {"privileged": True}} for n in ("a", "b")]},
            'privileged (containers "a", "b" must not set securityContext.privileged=true)',
        ),
        (
            {"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}}]},
            'non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (
            {
                "containers": [
                    {"name": "b", "livenessProbe": {"httpGet": {"host": "1.2.3.4"}}},
                    {"name": "a", "lifecycle": {"preStop": {"tcpSocket": {"host": "x"}}}},
                ]
            },
            'probe or lifecycle host (containers "a", "b" use probe or lifecycle hosts "1.2.3.4", "x")',
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
    ],
)
def test_baseline_violations(spec: Object, text: str) -> None:
    """Each check of the baseline standard."""
    assert violations(spec, "baseline") == [text]


def test_a_standard_may_be_pinned() -> None:
    """What came later is not asked of pods, and what was allowed later is refused."""
    probed = {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "1.2.3.4"}}}]}
    assert violations(probed, "baseline", 33) == []
    assert len(violations(probed, "baseline", 34)) == 1
    own_users = {"hostUsers": False, "securityContext": {"runAsUser": 0, "runAsNonRoot": False}, "containers": []}
    assert [found.partition(" (")[0] for found in violations(own_users, "restricted", 34)] == [
        "runAsNonRoot != true",
        "runAsUser=0",
    ]
    assert violations(own_users, "restricted") == []
    assert violations({"os": {"name": "windows"}, "containers": [{"name": "a"}]}, "restricted", 24) != []


ENFORCE = "pod-security.kubernetes.io/enforce"


async def test_pod_security_labels_must_mean_something(admit: Admit) -> None:
    """A typing error must not leave a namespace open; one that is there already stops no other change."""
    wrong: Object = {"metadata": {"name": "a", "labels": {ENFORCE: "strict", f"{ENFORCE}-version": "1.30"}}}
    with pytest.raises(APIError) as raised:
        await admit("Namespace", wrong)
    assert raised.value.code == 422
    assert [cause.message for cause in raised.value.causes] == [
        'Invalid value: "strict": must be one of privileged, baseline, restricted',
        'Invalid value: "1.30": must be "latest" or "v1.x"',
    ]
    await admit("Namespace", wrong, wrong)


async def test_who_demands_more_is_told_of_pods_that_do_not_keep_to_it(admit: Admit, reader: Any) -> None:
    """Alike ones in one line; nothing when the demand is no stricter."""
    for name, spec in (("one", {}), ("two", {}), ("host", {"hostNetwork": True})):
        reader.add("Pod", name, "a", spec={"containers": [{"name": "c"}], **spec})
    open_, baseline = ({"metadata": {"name": "a", "labels": labels}} for labels in ({}, {ENFORCE: "baseline"}))
    restricted = {"metadata": {"name": "a", "labels": {ENFORCE: "restricted", f"{ENFORCE}-version": "v1.30"}}}
    request = await admit("Namespace", restricted, open_)
    hardening = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    assert request.warnings == [
        'existing pods in namespace "a" violate the new PodSecurity enforce level "restricted:v1.30"',
        f"host: host namespaces, {hardening}",
        f"one (and 1 other pod): {hardening}",
    ]
    assert (await admit("Namespace", baseline, open_)).warnings[1:] == ["host: host namespaces"]
    assert (await admit("Namespace", open_, baseline)).warnings == []
