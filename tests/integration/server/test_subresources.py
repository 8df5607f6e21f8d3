"""Parts of objects with a life of their own: status, scale, binding, eviction, finalizers; and how pods end."""

import asyncio
import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kaa.api.errors import APIError

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": POD["spec"]},
    },
}


def binding(node="n"):
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}}


async def bound_pod(client):
    await client.create(POD, "default")
    await client.create_subresource("Pod", "p", "default", "binding", binding())
    return await client.get("Pod", "p", "default")


async def test_scale_is_the_same_for_every_kind(client):
    """kubectl scale and autoscalers know nothing of the kind but its Scale."""
    await client.create(DEPLOYMENT, "default")
    path = "/apis/apps/v1/namespaces/default/deployments/d/scale"
    scale = await client.call("GET", path)
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    scaled = await client.call("PUT", path, body={**scale, "spec": {"replicas": 5}})
    assert scaled["spec"] == {"replicas": 5}
    deployment = await client.get("Deployment.apps", "d", "default")
    assert deployment["spec"]["replicas"] == 5
    assert deployment["metadata"]["generation"] == 2
    with pytest.raises(APIError) as refused:
        await client.call("PUT", path, body={**scaled, "spec": {"replicas": -1}})
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in refused.value.message
    with pytest.raises(APIError) as refused:
        await client.call("PUT", path, body=scale)
    assert refused.value.reason == "Conflict"


async def test_status_is_apart_from_what_is_wanted(client):
    """An update of one never changes the other."""
    made = await client.create({**DEPLOYMENT, "status": {"replicas": 9}}, "default")
    assert made["status"] == {}
    updated = await client.update_status({**made, "spec": {**made["spec"], "replicas": 7}, "status": {"replicas": 1}})
    assert (updated["spec"]["replicas"], updated["status"]["replicas"]) == (2, 1)
    assert updated["metadata"]["generation"] == 1
    updated = await client.update({**updated, "spec": {**updated["spec"], "replicas": 7}, "status": {}})
    assert (updated["spec"]["replicas"], updated["status"]["replicas"]) == (7, 1)
    assert updated["metadata"]["generation"] == 2


async def test_a_pod_is_bound_once(client):
    """Two schedulers cannot both place a pod."""
    pod = await bound_pod(client)
    assert pod["metadata"]["generation"] == 1
    assert pod["spec"]["nodeName"] == "n"
    (scheduled,) = [c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert scheduled["status"] == "True"
    with pytest.raises(APIError) as refused:
        await client.create_subresource("Pod", "p", "default", "binding", binding("m"))
    assert refused.value.reason == "Conflict"
    assert 'pod p is already assigned to node "n"' in refused.value.message


async def test_a_pod_ends_gracefully(client):
    """A pod on a node is marked, and gone when its kubelet says so with grace 0; one that never ran goes at once."""
    await client.create(POD, "default")
    await client.delete("Pod", "p", "default")
    await bound_pod(client)
    marked = await client.delete("Pod", "p", "default")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    again = await client.delete("Pod", "p", "default")
    assert again["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]
    shortened = await client.delete("Pod", "p", "default", grace_seconds=5)
    assert shortened["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shortened["metadata"]["deletionTimestamp"] < marked["metadata"]["deletionTimestamp"]
    await client.delete("Pod", "p", "default", grace_seconds=0)
    with pytest.raises(APIError):
        await client.get("Pod", "p", "default")


async def test_an_eviction_asks_the_budget(client):
    """kubectl drain evicts: a budget without disruptions left refuses with a 429, one with some is charged."""
    pod = await bound_pod(client)
    ready = {"type": "Ready", "status": "True"}
    await client.update_status({**pod, "status": {"phase": "Running", "conditions": [ready]}})
    budget = await client.create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "b"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        },
        "default",
    )
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    counts = {"currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, "observedGeneration": 1}
    budget = await client.update_status({**budget, "status": {**counts, "disruptionsAllowed": 0}})
    with pytest.raises(APIError) as refused:
        await client.create_subresource("Pod", "p", "default", "eviction", eviction)
    assert (refused.value.code, refused.value.reason) == (429, "TooManyRequests")
    assert refused.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused.value.causes[0].message == "The disruption budget b needs 1 healthy pods and has 1 currently"
    await client.update_status({**budget, "status": {**counts, "disruptionsAllowed": 1}})
    await client.create_subresource("Pod", "p", "default", "eviction", eviction)
    evicted = await client.get("Pod", "p", "default")
    assert evicted["metadata"]["deletionTimestamp"]
    reasons = {c["type"]: c.get("reason") for c in evicted["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI", "a Job tells this end from a failure"
    charged = await client.get("PodDisruptionBudget", "b", "default")
    assert charged["status"]["disruptionsAllowed"] == 0
    assert list(charged["status"]["disruptedPods"]) == ["p"]


@pytest.mark.parametrize(
    ("policy", "healthy", "evicted"),
    [("AlwaysAllow", 0, True), ("IfHealthyBudget", 0, False), ("IfHealthyBudget", 1, True)],
)
async def test_a_pod_that_is_not_ready_may_go_without_a_disruption(client, policy, healthy, evicted):
    """What is broken anyway must not hold up a drain, unless the budget is short of healthy pods."""
    pod = await bound_pod(client)
    await client.update_status({**pod, "status": {**pod["status"], "phase": "Running"}})
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}, "unhealthyPodEvictionPolicy": policy}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec}
    budget = await client.create(budget, "default")
    counts = {"currentHealthy": healthy, "desiredHealthy": 1, "expectedPods": 2, "observedGeneration": 1}
    await client.update_status({**budget, "status": {**counts, "disruptionsAllowed": 0}})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    if not evicted:
        with pytest.raises(APIError, match="would violate"):
            await client.create_subresource("Pod", "p", "default", "eviction", eviction)
        return
    await client.create_subresource("Pod", "p", "default", "eviction", eviction)
    assert (await client.get("Pod", "p", "default"))["metadata"]["deletionTimestamp"]
    assert "disruptedPods" not in (await client.get("PodDisruptionBudget", "b", "default"))["status"]


async def test_budgets_are_charged_one_by_one(client):
    """Evictions at the same time take no more disruptions than there are, though caches know nothing of each other."""
    for number in range(4):
        await client.create({**POD, "metadata": {"name": f"p{number}", "labels": {"app": "web"}}}, "default")
        bind = {**binding(), "metadata": {"name": f"p{number}"}}
        await client.create_subresource("Pod", f"p{number}", "default", "binding", bind)
        pod = await client.get("Pod", f"p{number}", "default")
        ready = {"type": "Ready", "status": "True"}
        await client.update_status({**pod, "status": {"phase": "Running", "conditions": [ready]}})
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec}
    budget = await client.create(budget, "default")
    counts = {"currentHealthy": 4, "desiredHealthy": 2, "expectedPods": 4, "observedGeneration": 1}
    await client.update_status({**budget, "status": {**counts, "disruptionsAllowed": 2}})

    async def evict(name):
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        await client.create_subresource("Pod", name, "default", "eviction", eviction)

    outcomes = await asyncio.gather(*(evict(f"p{number}") for number in range(4)), return_exceptions=True)
    assert sorted(getattr(outcome, "reason", "done") for outcome in outcomes) == ["TooManyRequests"] * 2 + ["done"] * 2
    assert (await client.get("PodDisruptionBudget", "b", "default"))["status"]["disruptionsAllowed"] == 0


async def test_a_namespace_goes_when_it_is_finalized(client):
    """It is Terminating until its controller has emptied it and says so through `finalize`."""
    made = await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
    assert made["status"]["phase"] == "Active"
    marked = await client.delete("Namespace", "a")
    assert marked["status"]["phase"] == "Terminating"
    assert marked["spec"]["finalizers"] == ["kubernetes"]
    await client.update({**marked, "spec": {"finalizers": []}}, "finalize")
    with pytest.raises(APIError) as refused:
        await client.get("Namespace", "a")
    assert refused.value.reason == "NotFound"


async def test_propagation_becomes_a_finalizer(client):
    """The garbage collector works it off: Foreground waits for dependents, Orphan lets them live."""
    await client.create(DEPLOYMENT, "default")
    marked = await client.delete("Deployment.apps", "d", "default", propagation="Foreground")
    assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert marked["metadata"]["deletionTimestamp"]


async def test_deletecollection_takes_what_is_selected(client):
    """Only what the selectors name goes."""
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {})):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}
        await client.create(body, "default")
    path = "/api/v1/namespaces/default/configmaps"
    gone = await client.call("DELETE", path, query=[("labelSelector", "x=1")])
    assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in (await client.list("ConfigMap", "default")).items] == ["c"]


async def test_an_unconditional_patch_wins_races(client):
    """Patches without a resourceVersion are tried again on the newer object: none of two is lost."""
    await client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}, "default")
    async with asyncio.TaskGroup() as tasks:
        for index in range(20):
            tasks.create_task(client.patch("ConfigMap", "a", {"data": {f"k{index}": "v"}}, "default"))
    assert len((await client.get("ConfigMap", "a", "default"))["data"]) == 20


async def test_a_lease_is_made_by_an_update(client):
    """Some kinds may be made by PUT; the others are not found."""
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "default"}}
    made = await client.update(lease)
    assert made["metadata"]["uid"]
    with pytest.raises(APIError) as refused:
        await client.update(lease)
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in refused.value.message
    with pytest.raises(APIError) as refused:
        await client.update(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
        )
    assert refused.value.reason == "NotFound"


async def test_both_versions_of_a_kind_are_one_object(client):
    """autoscaling/v1 and v2 are two views of the same stored object."""
    spec = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}
    body = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {**spec, "targetCPUUtilizationPercentage": 50},
    }
    await client.create(body, "default")
    newer = await client.get("autoscaling/v2/HorizontalPodAutoscaler", "h", "default")
    assert newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    older = await client.get("autoscaling/v1/HorizontalPodAutoscaler", "h", "default")
    assert older["spec"]["targetCPUUtilizationPercentage"] == 50
    listed = await client.list("autoscaling/v1/HorizontalPodAutoscaler", "default")
    assert listed.items[0]["spec"]["targetCPUUtilizationPercentage"] == 50


async def test_an_approval_changes_conditions_and_metadata_only(client):
    """Who may approve a request may not rewrite it, nor issue the certificate; annotations say why it was approved."""
    request = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "r"},
        "spec": {"request": signing_request(), "signerName": "example.com/signer", "usages": ["client auth"]},
    }
    await client.create(request)
    patch = {
        "metadata": {"annotations": {"why": "known"}},
        "spec": {"signerName": "example.com/other"},
        "status": {
            "certificate": "Zm9yZ2Vk",
            "conditions": [{"type": "Approved", "status": "True", "reason": "Test"}],
        },
    }
    approved = await client.patch("CertificateSigningRequest", "r", patch, subresource="approval")
    assert approved["metadata"]["annotations"] == {"why": "known"}
    assert approved["spec"]["signerName"] == "example.com/signer"
    assert [c["type"] for c in approved["status"]["conditions"]] == ["Approved"]
    assert "certificate" not in approved["status"]


def signing_request() -> str:
    """A PKCS #10 request in PEM, in base64 as in the API."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tester")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
