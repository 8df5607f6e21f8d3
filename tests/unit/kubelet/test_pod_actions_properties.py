"""Carried out again and again, the actions lead to rest: there is always a last one, whatever the pod and its luck."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kubelet.pod_actions import (
    Action,
    BackOff,
    CreateSandbox,
    Facts,
    Health,
    KillContainer,
    StartContainer,
    StopPod,
    pod_actions,
)
from kaa.kubelet.pod_runtime import PodRuntime, RuntimeContainer, RuntimeSandbox

STEPS = 40
"""Many more than any pod of the size below needs."""

NAMES = ("i", "j", "s", "a", "b")


def carry_out(seen: PodRuntime, action: Action, exits: dict[str, int]) -> PodRuntime:
    """The runtime after the action. A container of `exits` ends at once; the others run."""
    match action:
        case CreateSandbox(attempt=attempt):
            sandbox = RuntimeSandbox(f"s{attempt}", attempt, True, ("10.0.0.1",))
            return replace(seen, sandboxes=(sandbox, *seen.sandboxes))
        case StartContainer(name=name, attempt=attempt):
            assert seen.sandbox is not None
            assert seen.sandbox.is_ready
            assert not any(c.is_running for c in seen.containers if c.name == name), "never two of one name"
            # A container that fails does so twice; a crash loop without back-off would have no end.
            code = exits.get(name) if attempt < 2 else 0 if name in exits else None
            state: Any = "CONTAINER_RUNNING" if code is None else "CONTAINER_EXITED"
            container = RuntimeContainer(
                f"{name}-{attempt}", name, seen.sandbox.id, attempt, state, exit_code=code or 0
            )
            return replace(seen, containers=(container, *seen.containers))
        case KillContainer(id=container_id):
            return ended(seen, {container_id})
        case StopPod():
            stopped = tuple(replace(sandbox, is_ready=False) for sandbox in seen.sandboxes)
            return replace(ended(seen, {c.id for c in seen.containers}), sandboxes=stopped)
        case BackOff():
            return seen


def ended(seen: PodRuntime, ids: set[str]) -> PodRuntime:
    containers = tuple(
        replace(c, state="CONTAINER_EXITED", exit_code=137) if c.id in ids and c.is_running else c
        for c in seen.containers
    )
    return replace(seen, containers=containers)


def at_rest(pod: dict[str, Any], seen: PodRuntime, exits: dict[str, int]) -> PodRuntime:
    for _ in range(STEPS):
        running = frozenset(c.id for c in seen.containers if c.is_running)
        actions = pod_actions(Facts(pod, seen, Health(started=running)))
        if not actions:
            return seen
        for action in actions:
            seen = carry_out(seen, action, exits)
    raise AssertionError(f"no rest after {STEPS} steps: {actions}")


@settings(max_examples=200, deadline=None)
@given(
    policy=st.sampled_from(["Never", "OnFailure"]),
    exits=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)),
    sandbox_dies=st.booleans(),
)
def test_every_pod_comes_to_rest(make_pod_of: Any, policy: str, exits: dict[str, int], sandbox_dies: bool) -> None:
    """Whatever ends with whatever code, also when the sandbox is lost half-way; and a deleted pod is all stopped."""
    exits = {name: code for name, code in exits.items() if name != "s"}  # a sidecar that ends is restarted for ever
    exits |= {name: exits.get(name, 0) for name in ("i", "j")}
    pod = make_pod_of(policy)
    seen = at_rest(pod, PodRuntime("uid-web"), exits)
    if sandbox_dies:
        seen = at_rest(pod, carry_out(seen, StopPod("the world"), exits), exits)
    alive = {c.name for c in seen.containers if c.is_running}
    assert not alive or alive & {"a", "b"}, "sidecars alone do not keep a pod alive"
    pod["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert not at_rest(pod, seen, exits).is_active
