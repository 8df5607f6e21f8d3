"""ResourceQuota: what counts, what is too much, and that two writes at once cannot both take the last place."""

from dataclasses import replace
from typing import Any

import pytest

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.api.quota import is_about, unspecified, usage
from kaa.server.admission.resource_quota import ResourceQuota
from kaa.server.request import AdmissionRequest, Attributes, User

CATALOG = builtin_catalog()
POD = CATALOG.named("Pod")


class TickingClock:
    """Only what the quota needs: a monotonic time that a test moves."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def quota(reader: Any) -> ResourceQuota:
    return ResourceQuota(reader, TickingClock())  # type: ignore[arg-type]


def pod(name: str = "p", *, cpu: str = "", phase: str = "", **spec: Any) -> Object:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    containers = [{"name": "c", "resources": resources}]
    obj: Object = {"metadata": {"name": name, "namespace": "a"}, "spec": {"containers": containers, **spec}}
    return obj | ({"status": {"phase": phase}} if phase else {})


def creation(obj: Object, kind: str = "Pod", old: Object | None = None) -> AdmissionRequest:
    resource = CATALOG.named(kind)
    name = obj["metadata"]["name"]
    attributes = Attributes(User("x"), "create", resource.group, "v1", resource.name, "", "a", name, is_resource=True)
    return AdmissionRequest(attributes, resource, "UPDATE" if old else "CREATE", obj, old)


def limit(reader: Any, **hard: Any) -> None:
    scopes = hard.pop("scopes", None)
    spec: Object = {"hard": {key.replace("_", "."): value for key, value in hard.items()}}
    reader.add("ResourceQuota", "q", "a", spec=spec | ({"scopes": scopes} if scopes else {}))


async def test_too_much_is_refused_in_upstreams_words(reader: Any, quota: ResourceQuota) -> None:
    """All that is over is named, with what is asked, used and allowed."""
    limit(reader, pods="2", requests_cpu="1")
    for name in ("a", "b"):
        reader.put("Pod", pod(name, cpu="400m"))
    with pytest.raises(APIError) as raised:
        await quota.validate(creation(pod(cpu="300m")))
    assert raised.value.message == (
        'pods "p" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=300m,'
        " used: pods=2,requests.cpu=800m, limited: pods=2,requests.cpu=1"
    )


async def test_ended_pods_do_not_count(reader: Any, quota: ResourceQuota) -> None:
    """A finished Job's pods leave room for the next one's."""
    limit(reader, pods="1")
    reader.put("Pod", pod("a", phase="Succeeded"))
    await quota.validate(creation(pod()))


async def test_what_is_counted_must_be_said(reader: Any, quota: ResourceQuota) -> None:
    """With a quota on cpu every container has to name its own."""
    limit(reader, requests_cpu="1", limits_memory="1Gi")
    with pytest.raises(APIError) as raised:
        await quota.validate(creation(pod()))
    missing = "must specify limits.memory for: c; requests.cpu for: c"
    assert raised.value.message == f'pods "p" is forbidden: failed quota: q: {missing}'


async def test_two_at_once_cannot_take_the_last_place(reader: Any, quota: ResourceQuota) -> None:
    """A write under way counts; one that has failed does not; a committed one counts before the cache shows it."""
    limit(reader, pods="1")
    first, second = creation(pod("a")), creation(pod("b"))
    await quota.validate(first)
    with pytest.raises(APIError, match="exceeded quota"):
        await quota.validate(second)
    quota.release(first, committed=False)
    await quota.validate(second)
    quota.release(second, committed=True)
    with pytest.raises(APIError, match="used: pods=1"):
        await quota.validate(creation(pod("c")))
    reader.put("Pod", pod("b"))
    with pytest.raises(APIError, match="used: pods=1"):
        await quota.validate(creation(pod("c")))


async def test_an_update_pays_only_for_what_it_adds(reader: Any, quota: ResourceQuota) -> None:
    """A full namespace can still be edited."""
    limit(reader, services="1", services_nodeports="1")
    old = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    reader.put("Service", {**old, "metadata": {"name": "s", "namespace": "a"}})
    await quota.validate(creation({**old, "metadata": {"name": "s", "labels": {"x": "y"}}}, "Service", old))
    more = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}}
    with pytest.raises(APIError, match=r"requested: services\.nodeports=1, used: services\.nodeports=1"):
        await quota.validate(creation(more, "Service", old))


async def test_a_resize_pays_for_what_it_adds(reader: Any, quota: ResourceQuota) -> None:
    """A pod cannot grow past the quota after it has got in; other subresources use nothing."""
    limit(reader, requests_cpu="1")
    reader.put("Pod", pod("p", cpu="600m"))
    grown = creation(pod("p", cpu="1100m"), old=pod("p", cpu="600m"))
    status = replace(grown, attributes=replace(grown.attributes, subresource="status"))
    await quota.validate(status)
    with pytest.raises(APIError, match=r"requested: requests\.cpu=500m, used: requests\.cpu=600m"):
        await quota.validate(replace(grown, attributes=replace(grown.attributes, subresource="resize")))


def test_what_a_pod_asks_for_as_a_whole_counts() -> None:
    """Instead of what its containers ask for; what they do not ask for as a whole stays theirs."""
    spec = {"resources": {"requests": {"cpu": "2"}}, "overhead": {"cpu": "250m"}}
    asked = {"cpu": "100m", "memory": "1Gi"}
    containers = [{"name": "c", "resources": {"requests": asked}}, {"name": "d", "resources": {"requests": asked}}]
    used = usage({"metadata": {}, "spec": {**spec, "containers": containers}}, POD)
    assert (str(used["requests.cpu"]), str(used["requests.memory"])) == ("2250m", "2Gi")
    silent = pod(resources={"requests": {"cpu": "2"}})
    assert unspecified(silent, {"requests.cpu": "9", "memory": "9"}) == "memory for: c"


def test_an_init_container_runs_beside_the_sidecars_before_it() -> None:
    """Of what is asked for at the same time the most counts."""

    def asking(name: str, cpu: str, **more: Any) -> Object:
        return {"name": name, "resources": {"requests": {"cpu": cpu}}, **more}

    sidecar, step = asking("s", "1", restartPolicy="Always"), asking("i", "3")
    spec = {"containers": [asking("c", "2")]}
    orders = ([sidecar, step], [step, sidecar])
    totals = [usage({"metadata": {}, "spec": {**spec, "initContainers": order}}, POD) for order in orders]
    assert [str(total["requests.cpu"]) for total in totals] == ["4", "3"]


def test_every_kind_can_be_counted() -> None:
    """count/<plural>.<group>, custom kinds included, since it comes from the row."""
    deployment = CATALOG.named("Deployment")
    assert [*usage({"metadata": {}, "spec": {}}, deployment)] == ["count/deployments.apps"]
    assert {"count/secrets", "secrets"} == {*usage({"metadata": {}}, CATALOG.named("Secret"))}


def test_claims_count_by_class() -> None:
    """Storage is limited as a whole and for each storage class."""
    claim = {
        "metadata": {},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}},
    }
    amounts = {name: str(amount) for name, amount in usage(claim, CATALOG.named("PersistentVolumeClaim")).items()}
    assert amounts["requests.storage"] == "5Gi"
    assert amounts["fast.storageclass.storage.k8s.io/requests.storage"] == "5Gi"
    assert amounts["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == "1"


@pytest.mark.parametrize(
    ("scope", "obj", "selected"),
    [
        ("Terminating", pod(activeDeadlineSeconds=5), True),
        ("Terminating", pod(), False),
        ("NotTerminating", pod(), True),
        ("BestEffort", pod(), True),
        ("BestEffort", pod(cpu="1"), False),
        ("NotBestEffort", pod(cpu="1"), True),
        ("PriorityClass", pod(priorityClassName="high"), True),
        ("PriorityClass", pod(), False),
    ],
)
def test_scopes(scope: str, obj: Object, selected: bool) -> None:
    """A quota with a scope is about some pods only."""
    assert is_about({"spec": {"scopes": [scope]}}, obj, POD) is selected
