"""What is sent is made of bytes that were stored; nothing may be lost or added on the way."""

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.server.custom.jsonpath import find
from kaa.server.custom.rows import version_order
from kaa.server.forms import JSONForm
from kaa.server.listing import decode_token, encode_token
from kaa.server.negotiation import JSON, PROTOBUF, Accepted, accepted, plain_encoding, status_encoding
from kaa.server.request import Request
from kaa.server.storage import at_revision, decode, encode, item_of
from kaa.server.watch_cache import selected_fields, split_key
from kaa.server.watchers import transition

CONFIG_MAP = builtin_catalog().named("ConfigMap")

objects = st.fixed_dictionaries(
    {"metadata": st.dictionaries(st.text(min_size=1), st.text(), min_size=1)},
    optional={"data": st.dictionaries(st.text(), st.text()), "immutable": st.booleans()},
)


@given(obj=objects, revision=st.integers(1, 2**62), later=st.integers(1, 2**62))
def test_an_object_survives_the_store(obj, revision, later):
    """Encoded, spliced and decoded it is what it was, with the store's revision; whatever order its keys had."""
    obj["metadata"].pop("resourceVersion", None)
    obj["metadata"]["name"] = "a"
    stored = encode(CONFIG_MAP, obj)
    assert b'"resourceVersion"' not in stored[: stored.index(b'"metadata":{') + 30]
    item = item_of(stored, revision)
    expected = {
        **obj,
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**obj["metadata"], "resourceVersion": str(revision)},
    }
    assert decode(CONFIG_MAP, item) == expected
    expected["metadata"]["resourceVersion"] = str(later)
    assert decode(CONFIG_MAP, at_revision(item, later)) == expected


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_is_one_document(count):
    """Its ends are put onto the first and the last item, also when they are the same or missing."""
    stored = encode(CONFIG_MAP, {"metadata": {"name": "a"}})
    listed = orjson.loads(JSONForm(CONFIG_MAP).many([item_of(stored, 7)] * count, {"resourceVersion": "9"}))
    assert listed == {
        "kind": "ConfigMapList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "9"},
        "items": [{"metadata": {"resourceVersion": "7", "name": "a"}}] * count,
    }


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Accepted()),
        ("*/*", Accepted()),
        ("application/vnd.kubernetes.protobuf, application/json", Accepted(PROTOBUF)),
        ("application/vnd.kubernetes.protobuf;stream=watch,application/json;stream=watch", Accepted(PROTOBUF)),
        ("application/yaml", Accepted("application/yaml")),
        ("application/json;q=0.5,application/yaml", Accepted("application/yaml")),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Accepted(transform="Table"),
        ),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,"
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
            Accepted(PROTOBUF, "PartialObjectMetadataList"),
        ),
        (
            "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
            Accepted(),
        ),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Accepted()),
    ],
)
def test_accept(header, expected):
    """The first choice that can be served, as kubectl's and client-go's headers expect."""
    assert accepted(header) == expected


def test_custom_kinds_have_no_messages():
    """Who also takes JSON gets that; who takes protobuf alone is told that there is none. Metadata has messages."""
    assert accepted("application/vnd.kubernetes.protobuf,application/json", protobuf=False) == Accepted()
    partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    assert accepted(partial, protobuf=False) == Accepted(PROTOBUF, "PartialObjectMetadata")
    with pytest.raises(APIError, match="only the following media types are accepted"):
        accepted("application/vnd.kubernetes.protobuf", protobuf=False)


def test_an_answer_with_one_form_has_no_table():
    """A review is never a row of a table: who takes nothing else is told so, with 406."""
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert plain_encoding(Request("POST", "/", headers={"accept": f"{table},application/json"})) == JSON
    with pytest.raises(APIError) as refused:
        plain_encoding(Request("POST", "/", headers={"accept": table}))
    assert refused.value.code == 406


@pytest.mark.parametrize("header", ["application/cbor", "text/html"])
def test_nothing_acceptable(header):
    """A header that leaves nothing is refused, as a Status in the encoding that everybody reads."""
    with pytest.raises(APIError) as refused:
        accepted(header)
    assert refused.value.reason == "NotAcceptable"
    assert status_encoding(header) == "application/json"


@given(revision=st.integers(-1, 2**62), start=st.text(min_size=1))
def test_a_continue_token_round_trips(revision, start):
    """It is opaque to clients, and all that the server knows of the list."""
    assert decode_token(encode_token(revision, start)) == (revision, start)


@pytest.mark.parametrize("token", ["x", "e30", "!!!!", base64.b64encode(b"[]").decode()])
def test_a_bad_continue_token_is_the_clients_fault(token):
    with pytest.raises(APIError) as refused:
        decode_token(token)
    assert refused.value.reason == "BadRequest"


@pytest.mark.parametrize(
    ("was", "now", "event"),
    [(False, True, "ADDED"), (True, True, "MODIFIED"), (True, False, "DELETED"), (False, False, None)],
)
def test_what_a_selection_sees(was, now, event):
    """A selection has its own comings and goings."""
    assert transition(was, now) == event


def test_selectable_fields_are_text():
    """Booleans and numbers as Kubernetes writes them; absent ones as their zero value."""
    paths = ("spec.nodeName", "spec.hostNetwork", "status.replicas", "source", "status.phase")
    obj = {"spec": {"nodeName": "n", "hostNetwork": True}, "source": {"component": "kubelet"}}
    assert selected_fields(obj, paths) == {
        "spec.nodeName": "n",
        "spec.hostNetwork": "true",
        "status.replicas": "0",
        "source": "kubelet",
    }


def test_store_keys():
    """Names never have a slash, so a key says its kind, namespace and name."""
    assert split_key("/registry/core/pods/default/a") == ("/registry/core/pods/", "default/a")
    assert split_key("/registry/core/nodes/n") == ("/registry/core/nodes/", "n")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.size", [3]),
        (".spec.none", []),
        (".metadata.labels['a.b/c']", ["x"]),
        (r".metadata.labels.a\.b/c", ["x"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[*].type", ["Ready", "Other"]),
        (".status.conditions[1].type", ["Other"]),
        (".status.conditions[-1].type", ["Other"]),
    ],
)
def test_printer_columns_json_path(path, found):
    """The forms that definitions in the wild use."""
    obj = {
        "spec": {"size": 3},
        "metadata": {"labels": {"a.b/c": "x"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
    }
    assert find(path, obj) == found


def test_versions_in_order_of_preference():
    """Stable before beta before alpha, then the higher number."""
    versions = ["v1alpha1", "v1", "foo", "v2beta1", "v10", "v1beta2", "v2"]
    assert sorted(versions, key=version_order) == ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]
