"""Jobs choose their pods by their own uid; a Deployment's annotations are part of what is wanted; a DaemonSet's count
the changes of its template, which upstream has deprecated and still writes.
"""

from kaa.api.objects import Object, annotations_of, name_of, uid_of

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
LEGACY_CONTROLLER_UID = "controller-uid"
LEGACY_JOB_NAME = "job-name"


def prepare_job_for_create(job: Object) -> None:
    """Unless its author chose a selector, a job's pods carry its uid, and that is how it selects them."""
    spec = job["spec"]
    if spec.get("manualSelector"):
        return
    uid, name = uid_of(job), name_of(job)
    labels = spec["template"]["metadata"].setdefault("labels", {})
    for key, value in (
        (LEGACY_CONTROLLER_UID, uid),
        (CONTROLLER_UID, uid),
        (LEGACY_JOB_NAME, name),
        (JOB_NAME, name),
    ):
        labels.setdefault(key, value)
    if not job["metadata"].get("labels"):
        job["metadata"]["labels"] = labels
    if spec.get("selector") is None:
        spec["selector"] = {}
    spec["selector"].setdefault("matchLabels", {}).setdefault(CONTROLLER_UID, uid)


def prepare_deployment_for_update(new: Object, old: Object) -> None:
    if annotations_of(new) != annotations_of(old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def prepare_daemon_set_for_create(daemon_set: Object) -> None:
    _set_template_generation(daemon_set, 1)


def prepare_daemon_set_for_update(new: Object, old: Object) -> None:
    before = annotations_of(old).get(TEMPLATE_GENERATION, "")
    generation = int(before) if before.isascii() and before.isdigit() else 1
    _set_template_generation(new, generation + (new["spec"]["template"] != old["spec"]["template"]))


def _set_template_generation(daemon_set: Object, generation: int) -> None:
    annotations = daemon_set["metadata"].get("annotations") or {}
    daemon_set["metadata"]["annotations"] = {**annotations, TEMPLATE_GENERATION: str(generation)}
