"""Quotas, budgets, roles and other rules of a cluster, against the real server, in one process and in virtual time."""

import asyncio
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.integration import upstream
from tests.integration.controlled import only_virtual, running, virtual
from tests.integration.exercised import exercises
from tests.integration.signing_requests import signing_request

from kaa.api.errors import APIError
from kaa.api.objects import condition
from kaa.cluster.certificates import make_authority
from kaa.controllers.certificate_authority import FileAuthority
from kaa.controllers.runtime import run_controller_manager
from kaa.lib.clock import Clock, VirtualClock, WallClock


@exercises("ResourceQuotaUsage")
@virtual
async def test_a_quota_says_what_is_used() -> None:
    """Pods by what they ask for, others by number, custom kinds too; and less again when they go."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        hard = {"pods": "5", "requests.cpu": "2", "secrets": "3", "count/configmaps": "4"}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}}
        await cluster.client.create({**quota, "spec": {"hard": hard}})
        container = {"name": "c", "image": "example/c", "resources": {"requests": {"cpu": "300m"}}}
        for kind, more in (("Pod", {"spec": {"containers": [container]}}), ("Secret", {}), ("ConfigMap", {})):
            metadata = {"name": "one", "namespace": "default"}
            await cluster.client.create({"apiVersion": "v1", "kind": kind, "metadata": metadata, **more})

        async def used(expected: dict[str, str]) -> bool:
            found = await cluster.client.get("ResourceQuota", "q", "default")
            return bool((found.get("status") or {}).get("used") == expected)

        full = {"pods": "1", "requests.cpu": "300m", "secrets": "1", "count/configmaps": "2"}
        await cluster.until(lambda: used(full), "counted")
        await cluster.client.delete("Secret", "one", "default")
        await cluster.client.delete("Pod", "one", "default", grace_seconds=0)
        less = {"pods": "0", "requests.cpu": "0", "secrets": "0", "count/configmaps": "2"}
        await cluster.until(lambda: used(less), "counted again", 2)


SHARDS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "shards.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "shards", "kind": "Shard"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "subresources": {
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
            }
        ],
    },
}


@virtual
async def test_a_budget_asks_a_custom_kind_for_its_size() -> None:
    """An operator's own kind may have a budget, if it has a scale."""
    async with running(kubelet=False) as cluster:
        await cluster.client.create(SHARDS)

        async def served() -> Any:
            try:
                shard = {"apiVersion": "example.com/v1", "kind": "Shard", "spec": {"replicas": 4}}
                shard["metadata"] = {"name": "s", "namespace": "default"}
                return await cluster.client.call("POST", "/apis/example.com/v1/namespaces/default/shards", body=shard)
            except APIError:
                return None

        shard = await cluster.until(served, "the kind is served")
        owner = {"apiVersion": "example.com/v1", "kind": "Shard", "name": "s", "uid": shard["metadata"]["uid"]}
        metadata = {"name": "p", "namespace": "default", "labels": {"app": "s"}}
        pod = {"metadata": {**metadata, "ownerReferences": [{**owner, "controller": True}]}}
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await cluster.client.create({"apiVersion": "v1", "kind": "Pod", **pod, "spec": spec})
        budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {**metadata, "name": "b"}}
        selector = {"matchLabels": {"app": "s"}}
        await cluster.client.create({**budget, "spec": {"selector": selector, "maxUnavailable": 1}})

        async def counted() -> bool:
            found = await cluster.client.get("PodDisruptionBudget", "b", "default")
            return bool((found.get("status") or {}).get("expectedPods") == 4)

        await cluster.until(counted, "the scale is known")


@exercises("disruption")
@virtual
async def test_a_budget_follows_its_pods() -> None:
    """What an eviction will be allowed is known as soon as the pods are ready."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        selector: dict[str, Any] = {"matchLabels": {"app": "web"}}
        metadata = {"name": "web", "namespace": "default"}
        spec = {"replicas": 3, "selector": selector, "template": template}
        await cluster.client.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec})
        budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata}
        await cluster.client.create({**budget, "spec": {"selector": selector, "maxUnavailable": "34%"}})

        async def allowed() -> Any:
            status = (await cluster.client.get("PodDisruptionBudget", "web", "default"))["status"]
            return status if status.get("disruptionsAllowed") == 2 else None

        status = await cluster.until(allowed, "two disruptions are allowed")
        assert (status["desiredHealthy"], status["expectedPods"]) == (1, 3)
        assert condition(status["conditions"], "DisruptionAllowed")["status"] == "True"


@exercises("service-cidr")
@virtual
async def test_a_service_range_is_ready_and_goes() -> None:
    """A range that nobody has an address of is free to go, once the allocators have heard of it."""
    async with running() as cluster:
        cidr = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "extra"}}
        await cluster.client.create({**cidr, "spec": {"cidrs": ["10.77.0.0/24"]}})

        async def ready() -> bool:
            found = await cluster.client.get("ServiceCIDR", "extra")
            known = condition((found.get("status") or {}).get("conditions"), "Ready")
            return known is not None and known["status"] == "True" and bool(found["metadata"].get("finalizers"))

        await cluster.until(ready, "ready")
        await cluster.client.delete("ServiceCIDR", "extra")

        async def gone() -> bool:
            return "extra" not in [o["metadata"]["name"] for o in (await cluster.client.list("ServiceCIDR")).items]

        assert not await gone()
        await cluster.until(gone, "gone", 30)


@exercises("validatingadmissionpolicy-status")
@virtual
async def test_an_admission_policy_is_looked_at() -> None:
    """Its status follows its generation."""
    async with running() as cluster:
        api = "admissionregistration.k8s.io/v1"
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        spec = {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "object.metadata.name != 'x'"}],
        }
        policy = {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec}
        await cluster.client.create(policy)

        async def observed() -> bool:
            found = await cluster.client.get("ValidatingAdmissionPolicy", "p")
            return bool((found.get("status") or {}).get("observedGeneration") == found["metadata"]["generation"])

        await cluster.until(observed, "observed")


@exercises("clusterrole-aggregation")
@virtual
async def test_a_role_is_aggregated() -> None:
    """A new role's rules show in the one that selects it."""
    async with running() as cluster:
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
        rule = {"clusterRoleSelectors": [{"matchLabels": {"to-all": "true"}}]}
        await cluster.client.create({**role, "metadata": {"name": "all"}, "aggregationRule": rule, "rules": []})
        rules = [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}]
        await cluster.client.create({**role, "metadata": {"name": "w", "labels": {"to-all": "true"}}, "rules": rules})

        async def aggregated() -> bool:
            return bool((await cluster.client.get("ClusterRole", "all"))["rules"] == rules)

        await cluster.until(aggregated, "aggregated", 5)


@only_virtual
async def test_of_two_managers_one_works() -> None:
    """The other takes over when the first ends, and nothing is done twice meanwhile."""
    async with running() as cluster:
        # The fixture's own manager does without a lease: these two are for their own sake.
        managers = {
            name: asyncio.ensure_future(run_controller_manager(cluster.client, cluster.clock, identity=name))
            for name in ("a", "b")
        }

        async def holder() -> str:
            try:
                lease = await cluster.client.get("Lease", "kube-controller-manager", "kube-system")
            except APIError:
                return ""
            return str(lease["spec"].get("holderIdentity", ""))

        first = await cluster.until(holder, "one leads", 10)
        await cluster.clock.sleep(60)
        assert await holder() == first
        managers[first].cancel()
        await asyncio.wait([managers[first]])

        async def other() -> bool:
            return await holder() not in ("", first)

        await cluster.until(other, "the other leads", 10)
        for manager in managers.values():
            manager.cancel()
        await asyncio.wait(managers.values())


@exercises("CertificateApproval", "csrsigning")
@virtual
async def test_a_kubelet_gets_its_certificate() -> None:
    """Approved as its own, signed by the cluster's authority, and good for a client of that name."""
    with TemporaryDirectory() as directory:
        clock: Clock = WallClock() if upstream.KUBECONFIG else VirtualClock(seed=1)
        pki = Path(directory)
        authority = make_authority("kubernetes", clock.now(), Random(1))
        (pki / "ca.crt").write_bytes(authority.certificate)
        (pki / "ca.key").write_bytes(authority.key)
        async with running(authority=FileAuthority(pki / "ca.crt", pki / "ca.key", clock)) as cluster:
            spec = {
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "request": signing_request("system:node:n1"),
                "usages": ["digital signature", "client auth"],
                "expirationSeconds": 3600,
            }
            csr = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
            await cluster.client.create({**csr, "metadata": {"name": "n1"}, "spec": spec})

            async def signed() -> Any:
                found = await cluster.client.get("CertificateSigningRequest", "n1")
                return (found.get("status") or {}).get("certificate")

            certificate = x509.load_pem_x509_certificate(b64decode(await cluster.until(signed, "signed", 5)))
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
            assert certificate.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
            assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=1)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@exercises("service-account-token")
@virtual
async def test_a_secret_gets_a_lasting_token() -> None:
    """As long as its account is there: a new account of that name is another one."""
    async with running(sign_token=lambda claims: f"token of {claims['sub']}") as cluster:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "default"}}
        await cluster.client.create(account)
        metadata: dict[str, Any] = {"name": "old", "namespace": "default"}
        metadata["annotations"] = {"kubernetes.io/service-account.name": "robot"}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
        await cluster.client.create({**secret, "metadata": metadata})

        async def filled() -> Any:
            return ((await cluster.client.get("Secret", "old", "default")).get("data") or {}).get("token")

        token = await cluster.until(filled, "filled", 5)
        assert b64decode(token) == b"token of system:serviceaccount:default:robot"
        await cluster.client.delete("ServiceAccount", "robot", "default")

        async def gone() -> bool:
            return not (await cluster.client.list("Secret", "default")).items

        await cluster.until(gone, "gone", 5)
