"""The node.k8s.io group."""

from kaa.api import printing, validation
from kaa.api.resource import GroupVersion, Resource
from kaa.api.validation.walker import unchanged, validator

V1 = GroupVersion(
    "node.k8s.io",
    "v1",
    (
        Resource(
            kind="RuntimeClass",
            columns=printing.cluster.RUNTIME_CLASS,
            validate=validator(validation.cluster.RUNTIME_CLASS),
            validate_update=unchanged("handler"),
            plural="runtimeclasses",
            namespaced=False,
            has_generation=False,
        ),
    ),
)
