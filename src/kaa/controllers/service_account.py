"""ServiceAccount `default` in every namespace that is not being deleted: pods that name no other run as it."""

from datetime import datetime

from kaa.api.objects import Object, is_being_deleted, name_of
from kaa.controllers.actions import Create
from kaa.controllers.controller import Actions, Controller, View, in_namespace

NAME = "default"


def reconcile(namespace: Object, view: View, now: datetime) -> Actions:
    if is_being_deleted(namespace) or view.get("ServiceAccount", NAME, name_of(namespace)) is not None:
        return
    metadata = {"name": NAME, "namespace": name_of(namespace)}
    yield Create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})


CONTROLLER = Controller(
    name="service-account",
    kind="Namespace",
    watches=(in_namespace("ServiceAccount"),),
    reconcile=reconcile,
)
