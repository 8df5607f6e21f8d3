"""ConfigMap `kube-root-ca.crt` in every namespace: what pods verify the API server's certificate with."""

from datetime import datetime

from kaa.api.objects import Object, annotations_of, copy_object, is_being_deleted, name_of
from kaa.controllers.actions import Create, Update
from kaa.controllers.controller import Actions, Controller, View, in_namespace

NAME = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
DESCRIPTION_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
"""Upstream's text: tools compare it."""


def controller(ca_pem: str) -> Controller:
    """The row for a cluster with this CA certificate (PEM)."""
    data = {"ca.crt": ca_pem}

    def reconcile(namespace: Object, view: View, now: datetime) -> Actions:
        if is_being_deleted(namespace):
            return
        published = view.get("ConfigMap", NAME, name_of(namespace))
        if published is None:
            yield Create(bundle(name_of(namespace), data))
        elif published.get("data") != data or annotations_of(published).get(DESCRIPTION) != DESCRIPTION_TEXT:
            corrected = copy_object(published)
            corrected["data"] = data
            corrected["metadata"]["annotations"] = {**annotations_of(published), DESCRIPTION: DESCRIPTION_TEXT}
            yield Update(corrected)

    return Controller(
        name="root-ca-publisher",
        kind="Namespace",
        watches=(in_namespace("ConfigMap", name=NAME),),
        field_selectors={"ConfigMap": f"metadata.name={NAME}"},
        reconcile=reconcile,
    )


def bundle(namespace: str, data: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace, "annotations": {DESCRIPTION: DESCRIPTION_TEXT}},
        "data": data,
    }
