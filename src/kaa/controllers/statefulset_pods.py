"""The pods of a StatefulSet and their claims: each has an ordinal, by which everything of it is named.

Pod `web-3` has the host name `web-3` under the set's Service, and for the claim template `data` the claim `data-web-3`,
which it gets back whenever it is made anew. The retention policy says whom claims belong to, and so with whom they go:
with the set when it is deleted, with the pod when it is scaled away, or with nobody.
"""

import re
from collections.abc import Iterator

from kaa.api.objects import (
    Object,
    copy_object,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    owner_references,
)
from kaa.controllers.actions import Announcement, Create, Update
from kaa.controllers.controller import Actions, View
from kaa.controllers.controller_revisions import EXISTS, HASH_LABEL
from kaa.controllers.pods import pod_from_template

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
MEMBER = re.compile(r"(.*)-(0|[1-9][0-9]*)")


def ordinal_of(stateful_set: Object, pod_name: str) -> int | None:
    """None: the name is not that of one of the set's pods."""
    match = MEMBER.fullmatch(pod_name)
    return int(match[2]) if match is not None and match[1] == name_of(stateful_set) else None


def replicas_of(stateful_set: Object) -> int:
    replicas: int | None = stateful_set["spec"].get("replicas")
    return 1 if replicas is None else replicas


def wanted_ordinals(stateful_set: Object) -> range:
    start: int = (stateful_set["spec"].get("ordinals") or {}).get("start") or 0
    return range(start, start + replicas_of(stateful_set))


def build_pod(stateful_set: Object, revision: Object, ordinal: int) -> Object:
    template = copy_object(revision["data"]["spec"]["template"])
    pod = pod_from_template(stateful_set, template)
    name = f"{name_of(stateful_set)}-{ordinal}"
    metadata, spec = pod["metadata"], pod["spec"]
    del metadata["generateName"]
    metadata["name"] = name
    identity = {POD_NAME: name, POD_INDEX: str(ordinal), HASH_LABEL: name_of(revision)}
    metadata["labels"] = {**(metadata.get("labels") or {}), **identity}
    spec["hostname"], spec["subdomain"] = name, stateful_set["spec"].get("serviceName") or ""
    claimed = [claim_volume(stateful_set, template, ordinal) for template in claim_templates(stateful_set)]
    names = {volume["name"] for volume in claimed}
    spec["volumes"] = [*claimed, *(v for v in spec.get("volumes") or () if v["name"] not in names)]
    return pod


def claim_templates(stateful_set: Object) -> list[Object]:
    return stateful_set["spec"].get("volumeClaimTemplates") or []


def claim_prefixes(stateful_set: Object) -> list[str]:
    return [f"{name_of(template)}-{name_of(stateful_set)}-" for template in claim_templates(stateful_set)]


def claim_name(stateful_set: Object, template: Object, ordinal: int) -> str:
    return f"{name_of(template)}-{name_of(stateful_set)}-{ordinal}"


def claim_volume(stateful_set: Object, template: Object, ordinal: int) -> Object:
    claim = {"claimName": claim_name(stateful_set, template, ordinal), "readOnly": False}
    return {"name": name_of(template), "persistentVolumeClaim": claim}


def build_claims(stateful_set: Object, ordinal: int) -> Iterator[Object]:
    for template in claim_templates(stateful_set):
        labels = {**labels_of(template), **(stateful_set["spec"]["selector"].get("matchLabels") or {})}
        metadata: Object = {
            "name": claim_name(stateful_set, template, ordinal),
            "namespace": namespace_of(stateful_set),
            "labels": labels,
        }
        if annotations := template["metadata"].get("annotations"):
            metadata["annotations"] = annotations
        if retention(stateful_set, "whenDeleted") == "Delete":
            metadata["ownerReferences"] = [owner_reference(stateful_set)]
        spec = copy_object(template["spec"])
        yield {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def retention(stateful_set: Object, event: str) -> str:
    policy: str = (stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}).get(event, "Retain")
    return policy


def create_claims(stateful_set: Object, ordinal: int, view: View) -> Actions:
    """Those that are missing."""
    for claim in build_claims(stateful_set, ordinal):
        if view.get("PersistentVolumeClaim", name_of(claim), namespace_of(claim)) is None:
            pod_name = f"{name_of(stateful_set)}-{ordinal}"
            context = f"Claim {{name}} Pod {pod_name} in StatefulSet {name_of(stateful_set)}"
            done, failed = f"create {context} success", f"create {context} failed error: {{error}}"
            announcement = Announcement(stateful_set, "SuccessfulCreate", done, "FailedCreate", failed)
            yield Create(claim, announcement, tolerate=EXISTS)


def has_stale_claim(stateful_set: Object, ordinal: int, view: View) -> bool:
    """A claim that is still going with an earlier pod: the new one must not begin on it."""
    names = (claim_name(stateful_set, template, ordinal) for template in claim_templates(stateful_set))
    claims = (view.get("PersistentVolumeClaim", name, namespace_of(stateful_set)) for name in names)
    return any(claim is not None and is_being_deleted(claim) for claim in claims)


def settle_claim_owners(stateful_set: Object, ordinal: int, pod: Object, view: View, *, condemned: bool) -> Actions:
    """Makes the pod's claims belong to whom the retention policy says."""
    owner: Object | None = None
    if condemned and retention(stateful_set, "whenScaled") == "Delete":
        owner = pod
    elif retention(stateful_set, "whenDeleted") == "Delete":
        owner = stateful_set
    for template in claim_templates(stateful_set):
        name = claim_name(stateful_set, template, ordinal)
        claim = view.get("PersistentVolumeClaim", name, namespace_of(stateful_set))
        if claim is not None and (wanted := owners_for(claim, stateful_set, owner)) != owner_references(claim):
            changed = copy_object(claim)
            changed["metadata"]["ownerReferences"] = wanted
            yield Update(changed)


def owners_for(claim: Object, stateful_set: Object, owner: Object | None) -> list[Object]:
    """Ours are the references to the set and to its pods; a claim that another controls is left alone."""
    others = [ref for ref in owner_references(claim) if not _is_ours(ref, stateful_set)]
    if owner is None or any(ref.get("controller") for ref in others):
        return others
    return [*others, owner_reference(owner)]


def _is_ours(reference: Object, stateful_set: Object) -> bool:
    if reference["kind"] == "StatefulSet":
        return bool(reference["name"] == name_of(stateful_set))
    return reference["kind"] == "Pod" and ordinal_of(stateful_set, reference["name"]) is not None


def revision_label(pod: Object) -> str:
    return labels_of(pod).get(HASH_LABEL, "")
