"""What a quota's status says is used."""

from kaa.api.kinds import builtin_catalog
from kaa.client.informer import Change
from kaa.controllers.resource_quota import counted_kinds, matters, measured, status_of

CATALOG = builtin_catalog()
POD = CATALOG.named("Pod")


def quota(hard, **spec):
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}


def pod(cpu, phase="Running"):
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container]}, "status": {"phase": phase}}


def test_all_that_is_limited_is_told() -> None:
    """Also what nobody uses: a reader must not take "unknown" for it."""
    limit = quota({"pods": "5", "requests.cpu": "1", "services": "2"})
    used = measured(limit, [(POD, pod("300m")), (POD, pod("250m")), (POD, pod("1", "Succeeded"))])
    assert status_of(limit, used) == {
        "hard": limit["spec"]["hard"],
        "used": {"pods": "2", "requests.cpu": "550m", "services": "0"},
    }


def test_kinds_that_count_by_number() -> None:
    """Under their own names and under older ones; a quota with scopes is about pods alone."""
    hard = {"count/widgets.example.com": "1", "secrets": "2", "pods": "3", "count/secrets": "4"}
    assert list(counted_kinds(quota(hard))) == [
        ("count/widgets.example.com", "example.com", "widgets"),
        ("secrets", "", "secrets"),
        ("count/secrets", "", "secrets"),
    ]
    assert list(counted_kinds(quota(hard, scopes=["BestEffort"]))) == []


def test_claims_by_their_attributes_class() -> None:
    """The one scope that is about claims: what one has, wants, or is on its way to."""
    claim_kind = CATALOG.named("PersistentVolumeClaim")

    def claim(wanted, current=None):
        spec = {"volumeAttributesClassName": wanted, "resources": {"requests": {"storage": "1Gi"}}}
        return {"metadata": {"name": "c"}, "spec": spec, "status": {"currentVolumeAttributesClassName": current}}

    claims = [claim("gold"), claim("silver", "gold"), claim("silver"), claim(None)]
    observed = [(claim_kind, one) for one in claims] + [(POD, pod("1"))]

    def counted(operator, *values):
        expression = {"scopeName": "VolumeAttributesClass", "operator": operator, "values": list(values)}
        limit = quota({"persistentvolumeclaims": "9"}, scopeSelector={"matchExpressions": [expression]})
        return status_of(limit, measured(limit, observed))["used"]["persistentvolumeclaims"]

    assert [counted("In", "gold"), counted("NotIn", "gold"), counted("Exists"), counted("DoesNotExist")] == [
        "2",
        "2",
        "3",
        "1",
    ]


def test_heartbeats_do_not_count() -> None:
    """A pod's status changes often; only its end frees what it used."""
    running, ready, ended = pod("1"), {**pod("1"), "status": {"phase": "Running", "podIP": "1"}}, pod("1", "Failed")
    assert not matters(POD, Change(running, ready))
    assert matters(POD, Change(running, ended))
    assert matters(POD, Change(running, pod("2")))
    assert matters(POD, Change(None, running))
    assert not matters(CATALOG.named("Secret"), Change(running, ready))
