"""A Deployment's ReplicaSets as its history: which is new, what each is called, annotated with, and kept for.

A ReplicaSet is the new one when its template equals the Deployment's, apart from the hash label that we add. So
going back to an earlier template finds the earlier ReplicaSet again, which then takes the next revision number.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from kaa.api.objects import Object, annotations_of, copy_object, name_of, namespace_of, owner_reference
from kaa.controllers.deployment_rollout import DESIRED, MAX, bounds, by_age, size_of
from kaa.lib.clock import SUFFIX_ALPHABET

HASH_LABEL = "pod-template-hash"
HASH_LENGTH = 10
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
REVISION_HISTORY_LIMIT_CHARS = 2000

MAX_TEMPLATES = 128
"""Templates that are kept in the form in which they are compared: the same few are, again and again."""

NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MAX,
    }
)
"""Annotations of the Deployment that its ReplicaSets do not get."""


def template_hash(template: Object, collision_count: int) -> str:
    """Names the template, and another one for every collision met. The same on every machine, for ever."""
    text = orjson.dumps([pruned(template), collision_count], option=orjson.OPT_SORT_KEYS)
    number = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
    characters = []
    for _ in range(HASH_LENGTH):
        number, index = divmod(number, len(SUFFIX_ALPHABET))
        characters.append(SUFFIX_ALPHABET[index])
    return "".join(characters)


def pruned(value: Any) -> Any:
    """Without empty fields, which mean the same as absent ones."""
    if isinstance(value, dict):
        fields = {key: pruned(child) for key, child in value.items()}
        return {key: child for key, child in fields.items() if child not in (None, {}, [])}
    if isinstance(value, list):
        return [pruned(child) for child in value]
    return value


def same_template(first: Object, second: Object) -> bool:
    return _without_hash(orjson.dumps(first)) == _without_hash(orjson.dumps(second))


@lru_cache(MAX_TEMPLATES)
def _without_hash(template: bytes) -> bytes:
    """Equal for templates that mean the same."""
    fresh = orjson.loads(template)
    ((fresh.get("metadata") or {}).get("labels") or {}).pop(HASH_LABEL, None)
    return orjson.dumps(pruned(fresh), option=orjson.OPT_SORT_KEYS)


def new_set(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """The oldest with the Deployment's template: should there ever be two, every reconcile agrees on which."""
    template = deployment["spec"]["template"]
    return next((rs for rs in by_age(sets) if same_template(rs["spec"]["template"], template)), None)


def revision_of(obj: Object) -> int:
    try:
        return int(annotations_of(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def next_revision(old: Sequence[Object]) -> int:
    return max(map(revision_of, old), default=0) + 1


def replicas_annotations(deployment: Object) -> dict[str, str]:
    """What proportional scaling later compares with."""
    replicas = size_of(deployment)
    return {DESIRED: str(replicas), MAX: str(replicas + bounds(deployment)[0])}


def set_annotations(deployment: Object, rs: Object, revision: int) -> dict[str, str]:
    """The annotations that the new ReplicaSet should have. The numbers it had before are its revision history."""
    copied = {key: value for key, value in annotations_of(deployment).items() if key not in NOT_COPIED}
    annotations = {**annotations_of(rs), **copied}
    had = revision_of(rs)
    if had < revision:
        annotations[REVISION] = str(revision)
        if had:
            history = [*filter(None, annotations.get(REVISION_HISTORY, "").split(",")), str(had)]
            while len(",".join(history)) > REVISION_HISTORY_LIMIT_CHARS:
                history.pop(0)
            annotations[REVISION_HISTORY] = ",".join(history)
    return annotations


def build_set(deployment: Object, old: Sequence[Object], replicas: int) -> Object:
    """The ReplicaSet for the Deployment's template."""
    spec = deployment["spec"]
    template = copy_object(spec["template"])
    collisions = deployment.get("status", {}).get("collisionCount") or 0
    hash_label = {HASH_LABEL: template_hash(spec["template"], collisions)}
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **hash_label}
    selector = copy_object(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), **hash_label}
    rs: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{hash_label[HASH_LABEL]}",
            "namespace": namespace_of(deployment),
            "labels": dict(metadata["labels"]),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": spec.get("minReadySeconds") or 0,
            "selector": selector,
            "template": template,
        },
    }
    rs["metadata"]["annotations"] = set_annotations(deployment, rs, next_revision(old))
    rs["metadata"]["annotations"] |= replicas_annotations(deployment)
    return rs


def superfluous(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old sets beyond the history limit: lowest revision first, and only those at rest with no pods."""
    limit = deployment["spec"].get("revisionHistoryLimit", 10)
    alive = [rs for rs in old if not rs["metadata"].get("deletionTimestamp")]
    oldest = sorted(alive, key=revision_of)[: max(0, len(alive) - limit)]
    return [rs for rs in oldest if _is_at_rest(rs)]


def _is_at_rest(rs: Object) -> bool:
    status = rs.get("status", {})
    seen = status.get("observedGeneration", 0) >= rs["metadata"].get("generation", 0)
    return seen and size_of(rs) == 0 and status.get("replicas", 0) == 0
