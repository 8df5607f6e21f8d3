"""Scenarios that are explored: each does to a cluster what people do, while things go wrong."""

from base64 import b64encode

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kaa.api.objects import Object
from kaa.cluster.simulation.control_plane import controller_manager
from kaa.cluster.simulation.credentials import known_credentials
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.exploration import scenario
from kaa.cluster.simulation.standard_invariants import STANDARD, UNAMBIGUOUS, never_below_max_unavailable
from kaa.cri.simulated_program import SimulatedContainer
from kaa.lib.keys import elliptic_key, signed_request

KNOWN_OUTCOME = ("crash", "pause", "drop", "delay", "duplicate", "reorder", "conflict", "skew")
"""Faults after which everybody knows whether a write has taken effect."""

UNLESS_OTHERS_TAKE_PODS = tuple(row for row in STANDARD if row is not never_below_max_unavailable)
"""Where not only rollouts take ready pods away."""


def pod_template(app: str, image: str = "web:1", **annotations: str) -> Object:
    return {
        "metadata": {
            "labels": {"app": app},
            "annotations": {f"simulation.kaa.dev/{key.replace('_', '-')}": value for key, value in annotations.items()},
        },
        "spec": {
            "containers": [{"name": "main", "image": image, "resources": {"requests": {"cpu": "100m"}}}],
            "terminationGracePeriodSeconds": 5,
        },
    }


def workload(kind: str, name: str, template: Object, **spec: object) -> Object:
    metadata = {"name": name}
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"selector": selector, "template": template, **spec},
    }


def job(name: str, template: Object, **spec: object) -> Object:
    pod_spec = {"restartPolicy": "Never", **template["spec"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {**template, "spec": pod_spec}, **spec},
    }


@scenario(nodes=2, invariants=(*STANDARD, *UNAMBIGUOUS))
async def rolling_update(c: AsyncCluster) -> None:
    """A Deployment behind a Service is rolled over twice, the second time before the first is through."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    service = {"ports": [{"port": 80}], "selector": {"app": "web"}}
    await c.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service})
    await c.apply(workload("Deployment", "web", pod_template("web"), replicas=4, strategy=rolling))
    await c.wait("deployment", "web", "Available")
    c.faults.random(rate=1 / 4, kinds=KNOWN_OUTCOME, names="kube-*", for_=40)
    for version, seconds in (("web:2", 5), ("web:3", 40)):
        await c.apply(workload("Deployment", "web", pod_template("web", version), replicas=4, strategy=rolling))
        await c.run_for(seconds)


@scenario(nodes=2)
async def stateful_set(c: AsyncCluster) -> None:
    """A StatefulSet is made, updated and scaled while all kinds of faults are about."""
    await c.apply(workload("StatefulSet", "db", pod_template("db"), replicas=3, serviceName="db"))
    c.faults.random(rate=1 / 5, names="kube-*", for_=60)
    await c.run_for(20)
    await c.apply(workload("StatefulSet", "db", pod_template("db", "db:2"), replicas=3, serviceName="db"))
    await c.run_for(15)
    await c.apply(workload("StatefulSet", "db", pod_template("db", "db:2"), replicas=2, serviceName="db"))
    await c.run_for(30)


@scenario(nodes=2, invariants=(*STANDARD, *UNAMBIGUOUS))
async def jobs(c: AsyncCluster) -> None:
    """A Job of many, and an indexed one of which some pods fail."""
    c.faults.random(rate=1 / 4, kinds=KNOWN_OUTCOME, names="kube-*", for_=60)
    await c.apply(job("many", pod_template("many", exit_after="3s"), completions=5, parallelism=2))
    template = pod_template("indexed", exit_after="4s")
    await c.apply(job("indexed", template, completions=4, parallelism=3, completionMode="Indexed"))
    await c.run_for(60)


@scenario(nodes=2)
async def deletion(c: AsyncCluster) -> None:
    """Whole trees of objects are deleted in all three ways, and a namespace with what is in it."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed"}}
    await c.apply(namespace)
    for name in ("one", "two"):
        await c.apply(workload("Deployment", name, pod_template(name), replicas=2))
    await c.apply(workload("Deployment", "inside", pod_template("inside"), replicas=2), namespace="doomed")
    await c.run_for(8)
    c.faults.random(rate=1 / 4, names="kube-*", for_=60)
    await c.delete("deployment", "one", propagation="Foreground")
    await c.delete("namespace", "doomed")
    await c.run_for(3)
    await c.delete("deployment", "two", propagation="Background")
    await c.run_for(60)


@scenario(nodes=2)
async def quota(c: AsyncCluster) -> None:
    """More pods are wanted than a quota allows; later it allows them."""
    hard = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "3"}}}
    await c.apply(hard)
    await c.wait("resourcequota", "few", "jsonpath={.status.hard.pods}=3")
    c.faults.random(rate=1 / 5, names="kube-*", for_=40)
    await c.apply(workload("Deployment", "many", pod_template("many"), replicas=5))
    await c.apply(job("batch", pod_template("batch", exit_after="2s"), completions=3, parallelism=3))
    await c.run_for(30)
    await c.apply({**hard, "spec": {"hard": {"pods": "9"}}})
    await c.run_for(20)


@scenario(nodes=3, invariants=(*STANDARD, *UNAMBIGUOUS))
async def daemons(c: AsyncCluster) -> None:
    """A DaemonSet is updated while nodes are cut off and come back, and one is taken away for good."""
    await c.apply(workload("DaemonSet", "agent", pod_template("agent")))
    await c.run_for(10)
    c.faults.random(rate=1 / 6, kinds=KNOWN_OUTCOME, names="kube-*", for_=60)
    c.faults.partition("node/node-1", after=5, for_=70)
    await c.apply(workload("DaemonSet", "agent", pod_template("agent", "web:2")))
    await c.run_for(30)
    c.faults.crash("node/node-3")
    await c.delete("node", "node-3")
    await c.run_for(120)


@scenario(nodes=2, invariants=UNLESS_OTHERS_TAKE_PODS)
async def scheduling(c: AsyncCluster) -> None:
    """More pods than there is room for are made and deleted while the scheduler dies, again and again."""
    template = pod_template("big")
    template["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "10"}}  # a node has 32
    await c.apply(workload("Deployment", "big", template, replicas=8))
    for _ in range(6):
        c.faults.crash("kube-scheduler", for_=c.faults.chance.uniform(0.01, 2))
        await c.run_for(c.faults.chance.uniform(0.05, 3))
        for pod in c.faults.chance.sample(await c.list("pod", namespace="default"), 2):
            await c.delete("pod", pod["metadata"]["name"])
    c.faults.random(rate=1 / 4, names="kube-scheduler", for_=30)
    await c.run_for(30)
    await c.apply(workload("Deployment", "big", template, replicas=4))


@scenario(nodes=2, invariants=UNLESS_OTHERS_TAKE_PODS)
async def lost_node(c: AsyncCluster) -> None:
    """A node is cut off for so long that its pods are moved, and then comes back."""
    await c.apply(workload("Deployment", "web", pod_template("web"), replicas=4))
    await c.apply(workload("StatefulSet", "db", pod_template("db"), replicas=2, serviceName="db"))
    await c.run_for(10)
    c.faults.partition("node/node-1", for_=c.faults.chance.uniform(300, 450))
    c.faults.random(rate=1 / 40, names="kube-*", for_=400)
    await c.run_for(500)


@scenario(nodes=1)
async def cron_jobs(c: AsyncCluster) -> None:
    """CronJobs of each policy, whose Jobs take longer than a minute, or shorter."""
    for policy, seconds in (("Forbid", 70), ("Replace", 70), ("Allow", 20)):
        template = pod_template(policy.lower(), exit_after=f"{seconds}s")
        spec = {
            "schedule": "* * * * *",
            "concurrencyPolicy": policy,
            "jobTemplate": {"spec": job("", template)["spec"]},
        }
        metadata = {"name": policy.lower()}
        await c.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})
    c.faults.random(rate=1 / 15, names="kube-*", for_=240)
    await c.run_for(290)
    for policy in ("forbid", "replace", "allow"):
        await c.client.patch("CronJob", policy, {"spec": {"suspend": True}}, "default")
    await c.run_for(100)


@scenario(nodes=1, controllers=False, invariants=UNLESS_OTHERS_TAKE_PODS)
async def two_managers(c: AsyncCluster) -> None:
    """Two controller managers, of which one leads; whichever it is dies, or hangs, again and again.

    A lease does not fence: one that has hung may act once more on what it knew, before it sees that it leads no longer.
    It may take a pod too many, as upstream's; what it would change has a newer version by then.
    """
    for identity in ("a", "b"):
        c.world.add(controller_manager(None, known_credentials(), identity))
    await c.apply(workload("Deployment", "web", pod_template("web"), replicas=2))
    template = pod_template("indexed", exit_after="3s")
    await c.apply(job("indexed", template, completions=3, parallelism=2, completionMode="Indexed"))
    for number in range(5):
        await c.run_for(c.faults.chance.uniform(1, 20))
        lease = await c.get("lease", "kube-controller-manager", namespace="kube-system")
        leader = f"kube-controller-manager/{lease['spec']['holderIdentity'] or 'a'}"
        seconds = c.faults.chance.uniform(1, 40)
        (c.faults.crash if c.faults.chance.random() < 0.5 else c.faults.pause)(leader, for_=seconds)
        await c.apply(workload("Deployment", "web", pod_template("web", f"web:{number}"), replicas=2))
    await c.run_for(60)


KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
SERVING = ("digital signature", "server auth")
TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def request_of_node(c: AsyncCluster, name: str) -> Object:
    """A CertificateSigningRequest for a node's serving certificate."""
    names = {NameOID.ORGANIZATION_NAME: "system:nodes", NameOID.COMMON_NAME: f"system:node:{name}"}
    subject = x509.Name([x509.NameAttribute(*each) for each in names.items()])
    builder = x509.CertificateSigningRequestBuilder(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    made = signed_request(builder, elliptic_key(ec.SECP256R1(), c.faults.chance))
    pem = made.public_bytes(serialization.Encoding.PEM)
    spec = {"signerName": "kubernetes.io/kubelet-serving", "request": b64encode(pem).decode(), "usages": [*SERVING]}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


@scenario(nodes=1)
async def keys_and_signatures(c: AsyncCluster) -> None:
    """Certificates are signed, tokens issued, and pods ask with keys of their own: all of it shows in objects."""
    c.faults.random(rate=1 / 10, names="kube-*", for_=30)
    approval = {"type": "Approved", "status": "True", "reason": "ByHand", "message": "a good node"}
    for name in ("one", "two"):
        made = await c.client.create(request_of_node(c, name))
        await c.client.update({**made, "status": {"conditions": [approval]}}, "approval")
    lasting = {"name": "lasting", "annotations": {"kubernetes.io/service-account.name": "default"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": lasting, "type": "kubernetes.io/service-account-token"}
    await c.wait("serviceaccount", "default", "create")
    await c.apply(secret)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    answer = await c.client.create_subresource("ServiceAccount", "default", "default", "token", request)
    await write(c, "token", answer["status"]["token"])

    @c.image("reader")
    async def reader(container: SimulatedContainer) -> None:
        await write(c, "token-of-pod", container.path(TOKEN_FILE).read_text())

    await c.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": READER})
    sources = [
        {"podCertificate": {"signerName": "example.com/a", "keyType": kind, "credentialBundlePath": kind}}
        for kind in KEY_TYPES
    ]
    mounts = [{"name": str(number), "mountPath": f"/{number}"} for number in range(len(sources))]
    volumes = [{"name": str(n), "projected": {"sources": [source]}} for n, source in enumerate(sources)]
    containers = [{"name": "main", "image": "web:1", "volumeMounts": mounts}]
    spec = {"containers": containers, "volumes": volumes}
    await c.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"}, "spec": spec})
    await c.wait("pod", "reader", "jsonpath={.status.phase}=Succeeded")
    await c.wait("csr", "two", lambda csr: "certificate" in csr["status"])
    await c.run_until(lambda: is_asked_for(c, len(KEY_TYPES)), timeout=600)
    await c.delete("pod", "asks")


async def is_asked_for(c: AsyncCluster, certificates: int) -> bool:
    return len(await c.list("podcertificaterequests")) == certificates


READER: Object = {"restartPolicy": "OnFailure", "containers": [{"name": "main", "image": "reader"}]}


async def write(c: AsyncCluster, name: str, text: str) -> None:
    """Puts a text where the history has it."""
    await c.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}})
