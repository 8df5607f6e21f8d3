"""What decoding into Go's types does to an object. The answers are those of upstream's serializer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.conform import builtin_conformer
from kaa.api.schema import Definition, builtin_schema

CONFORMER = builtin_conformer()


def definition(api_version: str, kind: str) -> Definition:
    found = builtin_schema().for_kind(api_version, kind)
    assert found is not None
    return found


DEPLOYMENT = definition("apps/v1", "Deployment")
EMPTY_TEMPLATE = {"metadata": {}, "spec": {"containers": []}}


def conform(value: Any, type_: Definition = DEPLOYMENT) -> Any:
    return CONFORMER.conform(type_, value)[0]


@pytest.mark.parametrize(
    ("api_version", "kind", "value", "conformed"),
    [
        (
            "apps/v1",
            "Deployment",
            {"metadata": None, "spec": {"selector": {"matchLabels": {}}, "replicas": 0, "foo": 1}},
            {
                "metadata": {},
                "spec": {"selector": {}, "replicas": 0, "strategy": {}, "template": {"metadata": {}, "spec": {}}},
                "status": {},
            },
        ),
        (
            "v1",
            "Pod",
            {"spec": {"containers": [{"ports": [{}], "resources": {"limits": {"cpu": 0.5, "memory": "1024Ki"}}}]}},
            {
                "metadata": {},
                "spec": {
                    "containers": [
                        {
                            "name": "",
                            "ports": [{"containerPort": 0}],
                            "resources": {"limits": {"cpu": "500m", "memory": "1Mi"}},
                        }
                    ]
                },
                "status": {},
            },
        ),
        ("v1", "ConfigMap", {"data": {"a": None}}, {"metadata": {}, "data": {"a": ""}}),
        (
            "v1",
            "Service",
            {"spec": {"ports": [{"targetPort": "web"}, {"port": 1}], "selector": {}}},
            {
                "metadata": {},
                "spec": {"ports": [{"targetPort": "web", "port": 0}, {"port": 1, "targetPort": 0}]},
                "status": {"loadBalancer": {}},
            },
        ),
        (
            "v1",
            "Secret",
            {"metadata": {"creationTimestamp": "2020-01-01T01:00:00.5+01:00"}, "data": {"a": "YW\nJj"}},
            {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}, "data": {"a": "YWJj"}},
        ),
        ("rbac.authorization.k8s.io/v1", "Role", {}, {"metadata": {}}),
    ],
)  # fmt: skip
def test_what_becomes_of_an_object(api_version: str, kind: str, value: Any, conformed: Any) -> None:
    """Unknown fields go, null is absent, empty optional fields go, structs appear, quantities are canonical."""
    assert conform(value, definition(api_version, kind)) == conformed


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"spec": {"replicas": "3"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"spec": {"replicas": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"spec": {"replicas": 1 << 40}},
            "json: cannot unmarshal number 1099511627776 into Go struct field DeploymentSpec.spec.replicas "
            "of type int32",
        ),
        (
            {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "a", "value": 1}]}]}}}},
            "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value "
            "of type string",
        ),
        (
            {"spec": {"template": {"spec": {"containers": {}}}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers "
            "of type []v1.Container",
        ),
        (
            {"spec": {"template": {"spec": {"containers": [{"imagePullPolicy": True}]}}}},
            "json: cannot unmarshal bool into Go struct field Container.spec.template.spec.containers.imagePullPolicy "
            "of type v1.PullPolicy",
        ),
        (
            {"metadata": {"labels": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        ({"spec": []}, "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        (
            {"spec": {"strategy": {"rollingUpdate": {"maxSurge": True}}}},
            "json: cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate"
            ".maxSurge of type int32",
        ),
        (
            {"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "x"}}}]}}}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            {"metadata": {"creationTimestamp": "2020-01-01"}},
            'parsing time "2020-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"',
        ),
        (
            {"metadata": {"creationTimestamp": "2020-13-01T00:00:00Z"}},
            'parsing time "2020-13-01T00:00:00Z": month out of range',
        ),
    ],
)  # fmt: skip
def test_wrong_types(value: Any, message: str) -> None:
    """Tools and people read these texts; they are Go's, with its path and its type names."""
    with pytest.raises(ValueError) as failure:  # noqa: PT011 - the whole text is compared
        conform(value)
    assert str(failure.value) == message


@pytest.mark.parametrize(("text", "at"), [("!", 0), ("YQ=", 3), ("YWJjZA==x", 8), ("Y=Q=", 1), ("YQ", 0), ("YWJjY", 4)])
def test_bad_base64(text: str, at: int) -> None:
    """The byte that Go's decoder complains about."""
    with pytest.raises(ValueError, match=f"^illegal base64 data at input byte {at}$"):
        conform({"data": {"a": text}}, definition("v1", "Secret"))


def test_microtimes_have_six_digits() -> None:
    """Leases and events: exactly microseconds, as Go's layout demands."""
    lease = definition("coordination.k8s.io/v1", "Lease")
    assert conform({"spec": {"renewTime": "2020-01-01T01:00:00.123456+01:00"}}, lease)["spec"] == {
        "renewTime": "2020-01-01T00:00:00.123456Z"
    }
    with pytest.raises(ValueError, match=r'cannot parse "Z" as "\.000000"'):
        conform({"spec": {"renewTime": "2020-01-01T00:00:00Z"}}, lease)


def test_paths_of_unknown_fields() -> None:
    """Strict validation names every unknown field in one pass, wherever it is."""
    value = {
        "foo": 1,
        "metadata": {"labels": {"anything": "goes"}, "lables": {}},
        "spec": {"template": {"spec": {"containers": [{}, {"imag": "x", "ports": [{"port": 1}]}]}}},
    }
    assert CONFORMER.conform(DEPLOYMENT, value)[1]
    assert CONFORMER.unknown_fields(DEPLOYMENT, value) == [
        "foo",
        "metadata.lables",
        "spec.template.spec.containers[1].imag",
        "spec.template.spec.containers[1].ports[0].port",
    ]
    assert not CONFORMER.conform(DEPLOYMENT, conform(value))[1]


def test_schemas_of_custom_resources() -> None:
    """JSON schemas contain themselves, and stand beside a bool, a list or any value."""
    crd = definition("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    properties = {
        "a": {"type": "object", "additionalProperties": {"type": "string"}, "default": {"x": [1]}},
        "b": {"items": {"type": "string"}, "additionalProperties": True, "enum": [1, "x"]},
        "c": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"properties": properties}}}
    value = {"spec": {"group": "g", "versions": [version]}}
    assert conform(value, crd)["spec"]["versions"] == [version]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 40), 1 << 40) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "template", "containers", "name", "labels", "replicas", "ports", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_refused_or_conforms(value: Any) -> None:
    """No input can raise anything but ValueError, and conforming twice is conforming once."""
    try:
        once = conform(value)
    except ValueError:
        return
    assert conform(once) == once


def test_takes_over_what_it_has_conformed_before() -> None:
    """A patch changes a field or two: the rest is not walked again, and stays where it was."""
    before = conform(
        {"apiVersion": "apps/v1", "metadata": {"name": "a"}, "spec": {"replicas": 1}, "kind": "Deployment"}
    )
    value = {**before, "metadata": {"name": "a", "labels": None, "foo": 1}, "status": None}
    changed, has_unknown = CONFORMER.conform_changed(DEPLOYMENT, value, before)
    assert changed == conform(value)
    assert list(changed) == list(conform(value))
    assert changed["spec"] is before["spec"]
    assert has_unknown
