"""Jobs and CronJobs against the real server, in one process and in virtual time."""

from typing import Any

from tests.integration.controlled import EXIT_CODE, Cluster, running, virtual

from kaa.api.objects import condition


def job(name: str = "work", code: int | None = 0, **spec: Any) -> dict[str, Any]:
    """A job whose pods end with that code; None: they run for ever."""
    template = {
        "metadata": {"annotations": {} if code is None else {EXIT_CODE: str(code)}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example/work"}]},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def finished(cluster: Cluster, name: str = "work") -> dict[str, Any] | None:
    """The job once it is Complete or Failed."""
    found = await cluster.client.get("Job", name, "default")
    conditions = found.get("status", {}).get("conditions")
    return found if condition(conditions, "Complete") or condition(conditions, "Failed") else None


async def tracked(cluster: Cluster) -> list[str]:
    return [p["metadata"]["name"] for p in (await cluster.client.list("Pod")).items if p["metadata"].get("finalizers")]


@virtual
async def test_a_job_runs_to_its_completions() -> None:
    """Every success is counted once, no pod keeps the finalizer, and there are never more pods than wanted."""
    async with running() as cluster:
        await cluster.add_node("node-1", cpu="64")
        await cluster.client.create(job(completions=7, parallelism=3))
        done = await cluster.until(lambda: finished(cluster), "complete")
        assert condition(done["status"]["conditions"], "Complete")["reason"] == "CompletionsReached"
        assert done["status"]["succeeded"] == 7
        assert "failed" not in done["status"]
        assert "active" not in done["status"]
        assert done["status"]["uncountedTerminatedPods"] == {}
        assert len(await cluster.pods()) == 7
        assert await tracked(cluster) == []


@virtual
async def test_an_indexed_job_runs_every_index() -> None:
    """One pod an index, told its index by label, host name and variable."""
    async with running() as cluster:
        await cluster.add_node("node-1", cpu="64")
        await cluster.client.create(job(completions=4, parallelism=2, completionMode="Indexed"))
        done = await cluster.until(lambda: finished(cluster), "complete")
        assert done["status"]["completedIndexes"] == "0-3"
        assert {pod["spec"]["hostname"] for pod in await cluster.pods()} == {f"work-{i}" for i in range(4)}


@virtual
async def test_a_job_that_fails_too_often_fails() -> None:
    """Each try comes later than the one before; then the job gives up and says why."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(job(code=1, backoffLimit=2))
        started = cluster.clock.monotonic()
        done = await cluster.until(lambda: finished(cluster), "failed")
        assert condition(done["status"]["conditions"], "Failed")["reason"] == "BackoffLimitExceeded"
        assert done["status"]["failed"] == 3
        assert 28 < cluster.clock.monotonic() - started < 40, "10 s and 20 s between the three"
        assert await tracked(cluster) == []


@virtual
async def test_a_deleted_job_takes_its_pods_along() -> None:
    """Nobody is left to count them: the finalizer must not keep them."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(job(code=None, parallelism=2))

        async def active() -> bool:
            return (await cluster.client.get("Job", "work", "default")).get("status", {}).get("ready") == 2

        await cluster.until(active, "both run")
        await cluster.client.delete("Job", "work", "default", propagation="Background")

        async def empty() -> bool:
            return not (await cluster.client.list("Pod", "default")).items

        await cluster.until(empty, "no pod is left")
