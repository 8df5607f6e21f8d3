"""What simulated containers do: annotations, images, and the arithmetic of readiness. Pure."""

import math
from typing import Any

import pytest

from kaa.cluster.simulation.behaviours import ANNOTATIONS, PREFIX, refined, seconds
from kaa.cluster.simulation.images import Images, repository
from kaa.cri.cri import RuntimeFault
from kaa.cri.simulated_behaviour import Behaviour, Flapping
from kaa.cri.simulated_program import SimulatedContainer


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("5", 5.0), ("2.5", 2.5), ("5s", 5.0), ("1h2m3s", 3723.0), ("500ms", 0.5), ("never", math.inf)],
)
def test_durations(text: str, wanted: float) -> None:
    """Go's way to write them, plain seconds, and never."""
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "soon", "5 s", "-1s", "1d", "s5"])
def test_what_is_no_duration(text: str) -> None:
    """Refused, not guessed at."""
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


VALUES = {
    "ready-flapping": "20s/5s",
    "exit-code": "3",
    "stop-code": "3",
    "pull-error": "manifest unknown",
    "create-error": "no",
    "start-error": "no",
    "log": "hello",
    "cpu": "250m",
    "memory": "20Mi",
}


@pytest.mark.parametrize("name", [row.name for row in ANNOTATIONS])
def test_every_annotation_changes_something(name: str) -> None:
    """Each row of the table is read, for the pod and for one container of it; other containers are left alone."""
    value = VALUES.get(name, "7s")
    changed = refined(Behaviour(), "web", {PREFIX + name: value})
    assert changed != Behaviour()
    assert refined(Behaviour(), "web", {f"{PREFIX}web.{name}": value}) == changed or name.endswith("error")
    assert refined(Behaviour(), "other", {f"{PREFIX}web.{name}": value}) == Behaviour()


def test_the_container_wins_over_its_pod() -> None:
    """And a bad value is told with the annotation's name."""
    notes = {PREFIX + "exit-code": "1", PREFIX + "a.exit-code": "2"}
    assert refined(Behaviour(), "a", notes).exit_code == 2
    assert refined(Behaviour(), "b", notes).exit_code == 1
    with pytest.raises(RuntimeFault, match=r"annotation simulation.kaa.dev/exit-code: "):
        refined(Behaviour(), "a", {PREFIX + "exit-code": "many"})


def test_readiness_over_time() -> None:
    """Late, flapping, and what a `probe_answer` says instead."""
    late = Behaviour(ready_after_seconds=10, flapping=Flapping(20, 5))
    assert [late.passes("readiness", age) for age in (0, 9, 10, 29, 30, 34, 35)] == [
        *(False, False, True, True, False, False, True)
    ]
    assert Behaviour(healthy_seconds=5).passes("liveness", 4)
    assert not Behaviour(healthy_seconds=5).passes("liveness", 5)
    own = Behaviour(probe_answer=lambda purpose, age: purpose == "readiness" and age < 3)
    assert own.passes("readiness", 2)
    assert not own.passes("liveness", 2)


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("worker:latest", "worker"),
        ("localhost:5000/app", "localhost:5000/app"),
        ("localhost:5000/app:1", "localhost:5000/app"),
        ("example.com/a/b:1@sha256:" + "0" * 64, "example.com/a/b"),
    ],
)
def test_repository(image: str, wanted: str) -> None:
    """The port of a registry is no tag."""
    assert repository(image) == wanted


def pod(**more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", **more}, "spec": {"initContainers": [{"name": "init"}, {"name": "side"}]}}


def test_images() -> None:
    """A name without tag stands for all tags, one with a tag is nearer; annotations have the last word."""

    async def work(container: SimulatedContainer) -> None:
        return None

    images = Images()
    images.add("worker", work)
    images.add("worker:2", Behaviour(exit_code=2))
    assert images.behaviour_of(pod(), "a", "worker:1").program is work
    assert images.behaviour_of(pod(), "a", "worker:2").exit_code == 2
    noted = pod(annotations={PREFIX + "exit-code": "9"})
    assert images.behaviour_of(noted, "a", "worker:2").exit_code == 9


def test_what_is_to_end_ends() -> None:
    """Init containers at once, sidecars never, a Job's containers after a second; unless something else is said."""
    images = Images()
    waiting = pod()
    waiting["spec"]["initContainers"][1]["restartPolicy"] = "Always"
    assert images.behaviour_of(waiting, "init", "x:1").exit_after_seconds == 0
    assert images.behaviour_of(waiting, "side", "x:1").exit_after_seconds is None
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "1", "controller": True}
    assert images.behaviour_of(pod(ownerReferences=[owner]), "a", "x:1").exit_after_seconds == 1
    said = pod(ownerReferences=[owner], annotations={PREFIX + "exit-after": "never"})
    assert images.behaviour_of(said, "a", "x:1").exit_after_seconds == math.inf
