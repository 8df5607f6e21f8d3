"""When an ended container is started again. Pure.

A container's own `restartPolicy` and `restartPolicyRules` win over the pod's; an init container follows the pod's,
where Always means OnFailure because its success is the end of it; a sidecar is always restarted.
"""

from kaa.api.objects import Object
from kaa.kubelet.pod_spec import ContainerKind, is_sidecar, restart_policy


def policy_of(pod: Object, kind: ContainerKind, container: Object) -> str:
    """Always, OnFailure or Never for this container."""
    if kind == "ephemeral":
        return "Never"
    own = container.get("restartPolicy")
    if kind == "init":
        if is_sidecar(container):
            return "Always"
        policy = own or restart_policy(pod)
        return "OnFailure" if policy == "Always" else policy
    return own or restart_policy(pod)


def should_restart(pod: Object, kind: ContainerKind, container: Object, exit_code: int) -> bool:
    """Whether the container is started again after ending with that code."""
    for rule in container.get("restartPolicyRules") or ():
        if rule.get("action") == "Restart" and _matches(rule.get("exitCodes") or {}, exit_code):
            return True
    policy = policy_of(pod, kind, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _matches(exit_codes: Object, exit_code: int) -> bool:
    listed = exit_code in (exit_codes.get("values") or ())
    return listed if exit_codes.get("operator") == "In" else not listed


def restarts_on_failure(pod: Object, kind: ContainerKind, container: Object) -> bool:
    """Whether a container that the kubelet kills for failing a probe is started again."""
    return policy_of(pod, kind, container) != "Never"
