"""Jobs and CronJobs against the real server, in one process and in virtual time."""

import asyncio
from typing import Any

from tests.integration.controlled import EXIT_CODE, Cluster, only_virtual, running, virtual
from tests.integration.exercised import exercises

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


@exercises("job")
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


@virtual
async def test_a_pod_that_a_job_has_let_go_is_free() -> None:
    """Without its labels the pod is nobody's: the finalizer would keep it, and its namespace, for ever."""
    async with running() as cluster:
        await cluster.add_node("node-1", cpu="64")
        await cluster.client.create(job(code=None))
        (pod,) = await cluster.until(cluster.pods, "a pod")
        labels = dict.fromkeys(pod["metadata"]["labels"])
        await cluster.client.patch("Pod", pod["metadata"]["name"], {"metadata": {"labels": labels}}, "default")

        async def let_go() -> bool:
            found = await cluster.client.get("Pod", pod["metadata"]["name"], "default")
            return not found["metadata"].get("finalizers") and not found["metadata"].get("ownerReferences")

        await cluster.until(let_go, "let go")
        assert len(await cluster.pods()) == 2


@only_virtual
async def test_a_cron_job_starts_a_job_at_each_time() -> None:
    """Two hours of every ten minutes: as many jobs, none twice, and only the latest of them kept."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        template = {"spec": job(ttlSecondsAfterFinished=None)["spec"]}
        cron_job = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {"schedule": "*/10 * * * *", "jobTemplate": template},
        }
        await cluster.client.create(cron_job)
        beat = asyncio.ensure_future(cluster.heartbeat("node-1"))
        await cluster.clock.sleep(2 * 3600 + 60)
        beat.cancel()
        status = (await cluster.client.get("CronJob", "tick", "default"))["status"]
        assert status["lastScheduleTime"] == "2030-01-01T02:00:00Z"
        assert status["lastSuccessfulTime"].startswith("2030-01-01T02:00:0")
        assert "active" not in status
        kept = [found["metadata"]["name"] for found in (await cluster.client.list("Job", "default")).items]
        assert sorted(kept) == ["tick-31557700", "tick-31557710", "tick-31557720"]
        assert len(await cluster.pods()) == 3


@only_virtual
async def test_a_cron_job_writes_its_status_once_when_it_starts_a_job() -> None:
    """The time and the Job that was started are told together."""
    async with running() as cluster:
        cron_job = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": job()["spec"]}},
        }
        created = await cluster.client.create(cron_job)
        await cluster.clock.sleep(3600 + 60)
        [made] = (await cluster.client.list("Job", "default")).items
        changes = cluster.client.watch(
            "CronJob", resource_version=created["metadata"]["resourceVersion"], timeout_seconds=1
        )
        [written] = [change.object["status"] async for change in changes if change.type == "MODIFIED"]
        assert written["lastScheduleTime"] == "2030-01-01T01:00:00Z"
        assert [ref["uid"] for ref in written["active"]] == [made["metadata"]["uid"]]


@exercises("ttl-after-finished")
@virtual
async def test_a_finished_job_goes_after_its_time() -> None:
    """With its pods: it is deleted in the foreground."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(job(ttlSecondsAfterFinished=20))
        await cluster.until(lambda: finished(cluster), "complete")

        async def empty() -> bool:
            jobs, pods = await cluster.client.list("Job", "default"), await cluster.client.list("Pod", "default")
            return not jobs.items and not pods.items

        assert not await empty()
        await cluster.until(empty, "gone", 25)
