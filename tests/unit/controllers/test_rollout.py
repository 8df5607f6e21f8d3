"""The arithmetic of a rollout, against a simulated world: whatever the pods do, the bounds hold and it ends."""

from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.controllers import statefulset_rollout
from kaa.controllers.deployment_revisions import same_template, template_hash
from kaa.controllers.deployment_rollout import bounds, roll_new, roll_old, share, size_of

PERCENT_OR_NUMBER = st.one_of(st.integers(0, 10), st.integers(0, 100).map(lambda n: f"{n}%"))


def deployment(replicas, surge, unavailable):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}},
    }


def replica_set(name, replicas, available, annotations=None):
    metadata = {"name": name, "creationTimestamp": name, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": {"availableReplicas": available}}


@given(st.integers(1, 20), PERCENT_OR_NUMBER, PERCENT_OR_NUMBER, st.randoms(use_true_random=False))
def test_a_rolling_update_ends_within_its_bounds(replicas, surge, unavailable, rng):
    """Pods get ready in any order; never too many, never too few available by our own doing, and new at last.

    A set's status follows its size when its controller gets to it: what it says is available may be on its way out.
    """
    wanted = deployment(replicas, surge, unavailable)
    max_surge, max_unavailable = bounds(wanted)
    sizes, available, told = ({"old": replicas, "new": 0} for _ in range(3))
    for _ in range(500):
        told |= {name: available[name] for name in told if rng.random() < 0.5}
        old, new = (replica_set(name, sizes[name], told[name]) for name in ("old", "new"))
        scale = roll_new(wanted, new, [old]) or roll_old(wanted, new, [old])
        sizes |= scale
        for name in sizes:
            available[name] = min(available[name], sizes[name])
        assert sum(sizes.values()) <= replicas + max_surge
        assert sum(available.values()) >= replicas - max_unavailable
        if not scale and rng.random() < 0.5 and available["new"] < sizes["new"]:
            available["new"] += 1
        if sizes == {"old": 0, "new": replicas} and told["new"] == replicas:
            return
    raise AssertionError(f"does not end: {sizes} {available}")


@given(st.integers(1, 50), PERCENT_OR_NUMBER, PERCENT_OR_NUMBER)
def test_bounds_round_to_the_safe_side(replicas, surge, unavailable):
    """Surge rounds up and unavailability down; both zero would never get anywhere."""
    max_surge, max_unavailable = bounds(deployment(replicas, surge, unavailable))
    assert max_surge or max_unavailable
    if isinstance(surge, str):
        assert max_surge == ceil(int(surge[:-1]) * replicas / 100)
    if isinstance(unavailable, str) and max_surge:
        assert max_unavailable == floor(int(unavailable[:-1]) * replicas / 100)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=4), st.integers(1, 60), st.integers(1, 60))
def test_proportional_scaling_adds_up(sizes, before, after):
    """However it is rounded, the sets together have the size that is allowed, and none is negative."""
    maximum = before + bounds(deployment(before, "25%", "25%"))[0]
    sets = [
        replica_set(f"s{i}", size, size, {"deployment.kubernetes.io/max-replicas": str(maximum)})
        for i, size in enumerate(sizes)
    ]
    wanted = deployment(after, "25%", "25%")
    scale = share(wanted, sets)
    result = {rs["metadata"]["name"]: size_of(rs) for rs in sets} | scale
    assert all(size >= 0 for size in result.values())
    allowed = after + bounds(wanted)[0]
    if allowed >= sum(sizes):
        assert sum(result.values()) == allowed


def test_equal_templates_have_equal_names():
    """Defaults and empty fields that a server adds or drops must not make a new ReplicaSet, nor may our own label."""
    first = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a"}], "volumes": []}}
    second = {
        "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}, "annotations": None},
        "spec": {"containers": [{"name": "a"}]},
    }
    assert same_template(first, second)
    assert template_hash(first, 0) == template_hash({**first, "spec": {"containers": [{"name": "a"}]}}, 0)
    assert template_hash(first, 0) != template_hash(first, 1)


@pytest.mark.parametrize(("limit", "pods"), [(None, 1), (2, 2), ("50%", 1), ("10%", 1), ("67%", 2), ("100%", 3)])
def test_how_many_of_a_stateful_set_may_be_missing(limit: int | str | None, pods: int) -> None:
    """Of three. Upstream rounds down, and lets at least one go."""
    rolling = {} if limit is None else {"maxUnavailable": limit}
    spec = {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    assert statefulset_rollout.max_unavailable({"spec": spec}) == pods
