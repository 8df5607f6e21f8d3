"""What must hold of every program (`kaa.controllers.all_programs`), as `tests/unit/controllers` says it of every row.

A settled world is left alone, also by a program that has just started; the order in which things happen, and when the
program comes to see them, does not change what comes of it; nor does its death between any two of its writes.
"""

import inspect
import pkgutil
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.exercised import name_of_program
from tests.integration.program_world import TRUSTED, Case, Circumstances, Step, Story, play
from tests.integration.signing_requests import signing_request
from tests.integration.test_controllers_storage import Directories
from tests.scenarios.test_controllers import OPTIONS

import kaa.controllers
from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.api.volume_binding import LOCAL_PATH, PROVISIONED_BY, SELECTED_NODE
from kaa.client.rest import Client
from kaa.controllers import all_programs
from kaa.controllers.certificate_approval import CertificateApproval
from kaa.controllers.garbage_collector import GarbageCollector
from kaa.controllers.horizontal_pod_autoscaler import Autoscaling
from kaa.controllers.local_directories import LocalDirectories
from kaa.controllers.local_path import DIRECTORY_FINALIZER
from kaa.controllers.metrics_source import MetricsTable
from kaa.controllers.namespace import NamespaceDeletion
from kaa.controllers.program import Context
from kaa.controllers.resource_quota import ResourceQuotaUsage
from kaa.controllers.terminated_pods import TerminatedPods

EXAMPLES = 12
PLACES = st.sampled_from(["one", "two"])
NAMES = st.sampled_from("abc")
HELD = {"finalizers": ["example.com/hold"]}
CONTAINER = {"name": "c", "image": "example/c", "resources": {"requests": {"cpu": "100m"}}}


def create(obj: Object) -> Step:
    return lambda client: client.create(obj)


def delete(kind: str, name: str, namespace: str = "", propagation: str = "Background") -> Step:
    return lambda client: client.delete(kind, name, namespace, propagation=propagation)


def patch(kind: str, name: str, namespace: str, changes: Object, subresource: str | None = None) -> Step:
    return lambda client: client.patch(kind, name, changes, namespace, subresource=subresource)


def made(kind: str, name: str, namespace: str = "", *, metadata: Object | None = None, **fields: Any) -> Object:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **place, **(metadata or {})}, **fields}


def pod(name: str, namespace: str, **labels: str) -> Object:
    return made("Pod", name, namespace, metadata={"labels": labels}, spec={"containers": [CONTAINER]})


def config_map(name: str, namespace: str, metadata: Object) -> Object:
    return made("ConfigMap", name, namespace, metadata=metadata)


def content() -> st.SearchStrategy[list[tuple[str, str, str]]]:
    """(kind, namespace, name), all different."""
    kinds = st.sampled_from(["ConfigMap", "Pod", "Secret", "Service"])
    return st.lists(st.tuples(kinds, PLACES, NAMES), unique=True, max_size=8)


def of_kind(kind: str, namespace: str, name: str, metadata: Object | None = None) -> Object:
    specs = {"Pod": {"containers": [CONTAINER]}, "Service": {"ports": [{"port": 80}]}}
    spec = {"spec": specs[kind]} if kind in specs else {}
    return made(kind, name, namespace, metadata=metadata, **spec)


@st.composite
def endings(draw: Any) -> Story:
    """Namespaces end, with what is in them; some of that is held for a while, or for good."""
    found = draw(content())
    held = draw(st.sets(st.sampled_from(found))) if found else set()
    let_go = draw(st.sets(st.sampled_from(sorted(held)))) if held else set()
    creations = [
        create(of_kind(kind, place, name, HELD if (kind, place, name) in held else None)) for kind, place, name in found
    ]
    ends = [delete("Namespace", name) for name in draw(st.sets(PLACES, min_size=1))]
    releases = [patch(kind, name, place, {"metadata": {"finalizers": None}}) for kind, place, name in let_go]
    return [creations, ends, releases]


KINDS = ("ConfigMap", "Secret", "ClusterRole")
OWNED = st.tuples(st.sampled_from(KINDS), PLACES, st.sets(st.tuples(st.integers(0, 5), st.booleans())))
"""Kind and namespace of an object, and which of those before it own it, and whether they wait for it."""


@st.composite
def families(draw: Any) -> Story:
    """Objects own others, also in vain in another namespace; some are deleted."""
    members = draw(st.lists(OWNED, min_size=2, max_size=6))
    identities = [(kind, f"m{i}", "" if kind == "ClusterRole" else place) for i, (kind, place, _) in enumerate(members)]
    creations = [create(of_family(*identity)) for identity in identities]
    ties: list[Step] = [
        partial(
            tie,
            identity=identities[i],
            owners=[(identities[o], waits) for o, waits in sorted(owners) if o < i],
        )
        for i, (_, _, owners) in enumerate(members)
    ]
    orphan = draw(st.booleans())  # who is orphaned by one owner and deleted with another may stay or go
    ways = st.just("Orphan") if orphan else st.sampled_from(["Background", "Foreground"])
    doomed = draw(st.dictionaries(st.sampled_from(identities), ways, max_size=3))
    deletions: list[Step] = [partial(delete_if_there, identity=identity, way=way) for identity, way in doomed.items()]
    return [creations, ties, deletions]


def of_family(kind: str, name: str, namespace: str) -> Object:
    obj = made(kind, name, namespace)
    return {**obj, "apiVersion": "rbac.authorization.k8s.io/v1", "rules": []} if kind == "ClusterRole" else obj


async def tie(client: Client, identity: tuple[str, str, str], owners: list[tuple[tuple[str, str, str], bool]]) -> None:
    references = []
    for (kind, name, namespace), waits in dict(owners).items():
        resource = client.resource(kind)
        uid = await uid_if_there(client, kind, name, namespace)
        reference = {"apiVersion": resource.api_version, "kind": kind, "name": name, "uid": uid}
        references.append({**reference, "blockOwnerDeletion": waits})
    kind, name, namespace = identity
    await client.patch(kind, name, {"metadata": {"ownerReferences": references}}, namespace)


async def uid_if_there(client: Client, kind: str, name: str, namespace: str) -> str:
    names = {obj["metadata"]["name"]: obj for obj in (await client.list(kind, namespace or None)).items}
    return str(names[name]["metadata"]["uid"]) if name in names else "collected"


async def delete_if_there(client: Client, identity: tuple[str, str, str], way: str) -> None:
    kind, name, namespace = identity
    with suppress(APIError):  # NotFound: collected
        await client.delete(kind, name, namespace, propagation=way)


LIMITS = st.sets(st.sampled_from(["pods", "requests.cpu", "secrets", "services", "count/configmaps"]), min_size=1)


@st.composite
def budgets(draw: Any) -> Story:
    """Quotas, and what they count, as it comes and goes; a pod that has ended counts no longer."""
    found = draw(content())
    quotas = draw(st.dictionaries(st.tuples(PLACES, NAMES), LIMITS, min_size=1, max_size=3))
    gone = draw(st.sets(st.sampled_from(found))) if found else set()
    ended = [what for what in found if what[0] == "Pod" and what not in gone and draw(st.booleans())]
    creations = [create(of_kind(*what)) for what in found]
    creations += [
        create(made("ResourceQuota", name, place, spec={"hard": dict.fromkeys(sorted(limits), "9")}))
        for (place, name), limits in quotas.items()
    ]
    changes = [delete(kind, name, place) for kind, place, name in sorted(gone)]
    changes += [patch(kind, name, place, {"status": {"phase": "Succeeded"}}, "status") for kind, place, name in ended]
    return [creations, changes]


ENDS = st.sampled_from(
    [{"phase": "Running"}, {"phase": "Succeeded"}, {"phase": "Failed"}, {"phase": "Failed", "reason": "Evicted"}]
)


@st.composite
def ended_pods(draw: Any) -> Story:
    """Pods that run, have ended or were evicted."""
    found = draw(st.dictionaries(st.tuples(PLACES, st.sampled_from("abcdef")), ENDS, max_size=9))
    creations = [create(pod(name, place)) for place, name in found]
    return [
        creations,
        [patch("Pod", name, place, {"status": status}, "status") for (place, name), status in found.items()],
    ]


def without_name(obj: Object) -> Object:
    """Which of those that have ended stays is a matter of when one looks; how many do is not."""
    return obj if obj["status"]["phase"] == "Running" else {"metadata": {}}


@st.composite
def volumes(draw: Any) -> Story:
    """Volumes of ours, with and without a directory, and of others; some are deleted."""
    found = draw(st.dictionaries(NAMES, st.tuples(st.booleans(), st.booleans(), PLACES), max_size=3))
    creations = []
    for name, (ours, has_directory, node) in found.items():
        annotations = {PROVISIONED_BY: LOCAL_PATH if ours else "example.com/disk", SELECTED_NODE: node}
        finalizers = [DIRECTORY_FINALIZER] if has_directory else []
        spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": f"/v/{name}"}}
        metadata = {"annotations": annotations, "finalizers": finalizers}
        creations.append(create(made("PersistentVolume", name, metadata=metadata, spec=spec)))
    gone = draw(st.sets(st.sampled_from(sorted(found)))) if found else set()
    return [creations, [delete("PersistentVolume", name) for name in sorted(gone)]]


@st.composite
def requests(draw: Any) -> Story:
    """Requests for certificates by whom one trusts and others, for what is approved at once and for what is not."""
    creations = []
    for name in draw(st.sets(NAMES)):
        spec = {
            "request": signing_request(
                draw(st.sampled_from(["system:node:n", "eve"])), draw(st.sampled_from(["system:nodes", "people"]))
            ),
            "signerName": "kubernetes.io/"
            + draw(st.sampled_from(["kube-apiserver-client-kubelet", "kubelet-serving"])),
            "usages": ["digital signature", draw(st.sampled_from(["client auth", "server auth"]))],
            "username": draw(st.sampled_from([TRUSTED, "eve"])),
        }
        csr = made("CertificateSigningRequest", name, spec=spec)
        creations.append(create({**csr, "apiVersion": "certificates.k8s.io/v1"}))
    return [creations]


METRICS = MetricsTable()
USAGES = {"idle": "10m", "busy": "150m", "wild": "900m"}


@st.composite
def loads(draw: Any) -> Story:
    """Deployments whose pods have more or less to do, and an autoscaler for some; nobody makes the pods asked for."""
    METRICS.clear()
    creations, marks, autoscalers = [], [], []
    for name in draw(st.sets(NAMES, min_size=1)):
        usage = draw(st.sampled_from([*USAGES.values(), ""]))
        replicas = draw(st.integers(0, 4))
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [CONTAINER]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        creations.append(create({**made("Deployment", name, "one", spec=spec), "apiVersion": "apps/v1"}))
        for index in range(draw(st.integers(0, 3))):
            creations.append(create(pod(f"{name}-{index}", "one", app=name)))
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2029-01-01T00:00:00Z"}
            status = {"phase": "Running", "startTime": "2029-01-01T00:00:00Z", "conditions": [ready]}
            marks.append(patch("Pod", f"{name}-{index}", "one", {"status": status}, "status"))
            if usage:
                METRICS.set_usage("one", f"{name}-{index}", "cpu", usage)
        target = {"type": "Utilization", "averageUtilization": 50}
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        low = draw(st.integers(1, 3))
        wanted = {"scaleTargetRef": reference, "metrics": [metric], "minReplicas": low, "maxReplicas": low + 5}
        if draw(st.booleans()):
            autoscaler = {**made("HorizontalPodAutoscaler", name, "one", spec=wanted), "apiVersion": "autoscaling/v2"}
            autoscalers.append(create(autoscaler))
    return [creations, marks, autoscalers]


def without_time_of_scaling(obj: Object) -> Object:
    """A crash after the scale was written leaves nobody who knows when that was."""
    return {**obj, "status": {k: v for k, v in (obj.get("status") or {}).items() if k != "lastScaleTime"}}


DIRECTORIES = Directories()

CASES: dict[str, tuple[Case, st.SearchStrategy[Story]]] = {
    "Autoscaling": (
        Case(
            partial(Autoscaling, source=METRICS),
            ("Deployment", "HorizontalPodAutoscaler"),
            essence=without_time_of_scaling,
            shows_its_start=True,  # by ScaleDownStabilized: the last minutes' recommendations are forgotten
            settle_seconds=1200.0,  # it shrinks only five minutes after the last reason not to
        ),
        loads(),
    ),
    "CertificateApproval": (Case(CertificateApproval, ("CertificateSigningRequest",)), requests()),
    "GarbageCollector": (Case(GarbageCollector, KINDS), families()),
    "LocalDirectories": (
        Case(
            partial(LocalDirectories, directories=DIRECTORIES),
            ("PersistentVolume",),
            outside=lambda: sorted(DIRECTORIES.there),
        ),
        volumes(),
    ),
    "NamespaceDeletion": (
        Case(NamespaceDeletion, ("Namespace", "ConfigMap", "Pod", "Secret", "Service")),
        endings(),
    ),
    "ResourceQuotaUsage": (Case(ResourceQuotaUsage, ("ResourceQuota",)), budgets()),
    "TerminatedPods": (Case(partial(TerminatedPods, threshold=2), ("Pod",), essence=without_name), ended_pods()),
}


def test_every_program_is_tried_and_listed() -> None:
    """A new program comes with its world; one that nobody runs would be silently missing."""
    modules = [
        import_module(f"kaa.controllers.{module.name}") for module in pkgutil.iter_modules(kaa.controllers.__path__)
    ]
    classes = {cls for module in modules for _, cls in inspect.getmembers(module, inspect.isclass)}
    programs = {cls.__name__ for cls in classes if takes_context(cls) and inspect.iscoroutinefunction(vars(cls)["run"])}
    assert programs == {name_of_program(program) for program in all_programs(OPTIONS)} == set(CASES)


def takes_context(cls: type) -> bool:
    return {"__init__", "run"} <= vars(cls).keys() and get_type_hints(vars(cls)["__init__"]).get("context") is Context


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_settled_world_is_left_alone(name: str) -> None:
    """Fixed point: nothing is written in ten minutes in which nothing happens, nor by a program that starts anew."""
    case, stories = CASES[name]

    @settings(max_examples=EXAMPLES)
    @given(stories, st.integers(0, 99))
    def check(story: Story, seed: int) -> None:
        assert play(case, story, Circumstances(seed=seed)).late_writes == []

    check()


@pytest.mark.parametrize("name", sorted(CASES))
def test_order_does_not_matter(name: str) -> None:
    """Whatever comes first, and however much has happened before the program starts."""
    case, stories = CASES[name]

    @settings(max_examples=EXAMPLES)
    @given(stories, st.integers(0, 99), st.integers(0, 12))
    def check(story: Story, seed: int, starts_at: int) -> None:
        usual = play(case, story, Circumstances())
        assert play(case, story, Circumstances(seed, starts_at)).left == usual.left

    check()


@pytest.mark.parametrize("name", sorted(CASES))
def test_crashes_do_not_matter(name: str) -> None:
    """A program that dies of a write, and is started again, does not do it twice, and leaves nothing undone."""
    case, stories = CASES[name]

    @settings(max_examples=EXAMPLES)
    @given(stories, st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    def check(story: Story, lives: tuple[int, ...]) -> None:
        unharmed = play(case, story, Circumstances())
        harmed = play(case, story, Circumstances(lives=lives))
        assert (harmed.left, harmed.late_writes) == (unharmed.left, [])

    check()
