"""The generated field tables: that they are whole, and what a few well-known types look like."""

from kaa.api.schema import builtin_schema

SCHEMA = builtin_schema()


def test_every_type_parses_and_every_reference_resolves() -> None:
    """A type that a field names is in the file: no object can run into a hole."""
    special = {"strings", "schemaorbool", "schemaorarray", "schemaorstrings", "raw", "json", "fieldsv1"}
    for name in SCHEMA.names():
        for field in SCHEMA.definition(name).fields.values():
            if "." in field.element and ":" not in field.element:
                assert SCHEMA.is_type(field.element), (name, field)
            elif "." not in field.element:
                assert field.element.isalnum() or field.element in special, (name, field)


def test_kinds() -> None:
    """Objects find their type by apiVersion and kind; the meta kinds exist in every group."""
    deployment = SCHEMA.for_kind("apps/v1", "Deployment")
    pod = SCHEMA.for_kind("v1", "Pod")
    options = SCHEMA.for_kind("apps/v1", "DeleteOptions")
    assert deployment is not None
    assert deployment.name == "apps.v1.Deployment"
    assert pod is not None
    assert pod.struct == "Pod"
    assert options is not None
    assert options.name == "meta.v1.DeleteOptions"
    assert SCHEMA.for_kind("apps/v1", "Pod") is None
    assert SCHEMA.for_kind("example.com/v1", "Widget") is None


def test_facts_of_fields() -> None:
    """Both sources are in: OpenAPI's (required, merge keys, list types) and Go's (pointer, omitempty, numbers)."""
    containers = SCHEMA.definition("core.v1.PodSpec").fields["containers"]
    assert (containers.type, containers.number, containers.required) == ("[]core.v1.Container", "2", True)
    assert (containers.list, containers.keys) == ("map", ("name",))
    assert (containers.strategy, containers.merge) == (("merge",), "name")
    volumes = SCHEMA.definition("core.v1.PodSpec").fields["volumes"]
    assert volumes.strategy == ("merge", "retainKeys")
    ports = SCHEMA.definition("core.v1.Container").fields["ports"]
    assert ports.keys == ("containerPort", "protocol")
    assert ports.merge == "containerPort"
    replicas = SCHEMA.definition("apps.v1.DeploymentSpec").fields["replicas"]
    assert (replicas.type, replicas.omit) == ("*int32", True)
    assert SCHEMA.definition("core.v1.Volume").fields["emptyDir"].number == "2.2"
