"""One pod on a light node, step by step in made-up time. Pure."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from kaa.api.objects import condition
from kaa.cluster.simulation.behaviours import PREFIX
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.light_pod import LightPod, Step, adopted

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Life:
    """A pod whose every status is taken over, as the API would."""

    def __init__(self, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        notes = {PREFIX + key: value for key, value in (annotations or {}).items()}
        metadata = {"name": "web", "namespace": "default", "uid": "u1", "generation": 1, "annotations": notes}
        self.pod: dict[str, Any] = {
            "metadata": metadata,
            "spec": {"containers": [{"name": "a", "image": "app:1"}], **spec},
            "status": {},
        }
        numbers = itertools.count(1)
        self.light = LightPod("u1", Images(), lambda: f"{next(numbers):064x}")
        self.addresses = (f"10.244.0.{n}" for n in itertools.count(2))

    def at(self, seconds: float) -> Step:
        now = NOW + timedelta(seconds=seconds)
        step = self.light.step(self.pod, lambda: next(self.addresses), "172.16.0.1", now)
        self.pod = {**self.pod, "status": step.status}
        return step

    @property
    def container(self) -> dict[str, Any]:
        return dict(self.pod["status"]["containerStatuses"][0])

    @property
    def is_ready(self) -> bool:
        found = condition(self.pod["status"]["conditions"], "Ready")
        return found is not None and found["status"] == "True"


def test_a_plain_pod_needs_one_step() -> None:
    """From nothing to Running and Ready, with all that a status has; then nothing changes by itself."""
    life = Life()
    step = life.at(0)
    status = step.status
    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Running", "10.244.0.2", "172.16.0.1")
    assert status["startTime"] == "2030-01-01T00:00:00Z"
    assert life.container["state"] == {"running": {"startedAt": "2030-01-01T00:00:00Z"}}
    assert life.container["containerID"].startswith("simulated://")
    assert life.is_ready
    assert step.next_at is None
    assert life.at(1000).status == status


def test_the_next_step_is_known() -> None:
    """Start, readiness and end each come at their moment, and the step before says when."""
    life = Life({"start-after": "2s", "ready-after": "5s", "exit-after": "20s"}, restartPolicy="Never")
    for seconds, phase, ready, due in (
        (0, "Pending", False, 2),
        (2, "Running", False, 7),
        (7, "Running", True, 22),
        (22, "Succeeded", False, None),
    ):
        step = life.at(seconds)
        assert (life.pod["status"]["phase"], life.is_ready) == (phase, ready)
        assert step.next_at == (NOW + timedelta(seconds=due) if due is not None else None)
    assert life.at(23).is_stopped


def test_crashes_are_backed_off() -> None:
    """The first restart is at once, the second after 10 s, as the kubelet's."""
    life = Life({"crash-after": "1s"})
    life.at(0)
    life.at(1)
    assert (life.container["restartCount"], life.container["state"].keys()) == (1, {"running"})
    step = life.at(2)
    assert life.container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert life.container["lastState"]["terminated"]["exitCode"] == 1
    assert step.next_at == NOW + timedelta(seconds=12)
    life.at(12)
    assert life.container["restartCount"] == 2


def test_init_containers_go_first() -> None:
    """One after the other, then the app; a failing one fails a pod that never restarts."""
    first = [{"name": "one", "image": "x:1"}, {"name": "two", "image": "x:1"}]
    life = Life({"one.exit-after": "5s"}, initContainers=first)
    life.at(0)
    assert [s["state"].keys() for s in life.pod["status"]["initContainerStatuses"]] == [{"running"}, {"waiting"}]
    assert life.container["state"]["waiting"]["reason"] == "PodInitializing"
    life.at(5)
    assert life.pod["status"]["phase"] == "Running"
    assert life.is_ready
    failing = Life({"one.exit-code": "1"}, initContainers=first, restartPolicy="Never")
    failing.at(0)
    assert failing.pod["status"]["phase"] == "Failed"


def test_a_liveness_probe_restarts() -> None:
    """What is unhealthy is killed, if there is a probe to notice it."""
    probed = {"name": "a", "image": "app:1", "livenessProbe": {"tcpSocket": {"port": 80}}}
    life = Life({"unhealthy-after": "30s"}, containers=[probed])
    assert life.at(0).next_at == NOW + timedelta(seconds=30)
    life.at(30)
    assert life.container["restartCount"] == 1
    assert Life({"unhealthy-after": "30s"}).at(0).next_at is None


def test_a_startup_probe_that_does_not_pass_restarts() -> None:
    """When it has been asked as often as it may be; and again and again, with back-off."""
    probe = {"tcpSocket": {"port": 80}, "periodSeconds": 2, "failureThreshold": 3, "initialDelaySeconds": 4}
    life = Life({"started-after": "never"}, containers=[{"name": "a", "image": "app:1", "startupProbe": probe}])
    assert life.at(0).next_at == NOW + timedelta(seconds=10)
    for seconds, restarts in ((10, 1), (20, 2), (30, 3), (40, 3), (60, 4)):
        life.at(seconds)
        assert life.container["restartCount"] == restarts
        assert ("waiting" in life.container["state"]) == (seconds == 40)


def test_a_pod_is_taken_up_from_its_status() -> None:
    """Container, address and count of restarts are those on record; it goes on from there."""
    life = Life({"exit-after": "60s"})
    life.at(0)
    light = adopted(life.pod, Images(), lambda: "f" * 64)
    step = light.step(life.pod, lambda: "10.244.0.99", "172.16.0.1", NOW + timedelta(seconds=30))
    assert step.status == life.pod["status"]
    assert step.next_at == NOW + timedelta(seconds=60)
    later = light.step(life.pod, lambda: "10.244.0.99", "172.16.0.1", NOW + timedelta(seconds=60))
    assert later.status["containerStatuses"][0]["restartCount"] == 1
    assert later.status["podIP"] == "10.244.0.2"


def test_deletion_waits_for_the_containers() -> None:
    """As long as they need, at most the grace period; a second look changes nothing."""
    life = Life({"stop-after": "5s"})
    life.at(0)
    life.pod["metadata"] |= {"deletionTimestamp": "2030-01-01T00:01:30Z", "deletionGracePeriodSeconds": 30}
    step = life.at(60)
    assert not step.is_stopped
    assert step.next_at == NOW + timedelta(seconds=65)
    assert life.at(65).is_stopped
