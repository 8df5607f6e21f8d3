"""Server-side apply and field ownership through the server: what is kept, who conflicts, what an update takes."""

import orjson
import pytest

from kaa.server.request import Request

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(name="app", *, image="example.com/app:1", env=("A",), **spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [
                        {"name": "main", "image": image, "env": [{"name": key, "value": "1"} for key in env]}
                    ]
                },
            },
            **spec,
        },
    }


@pytest.fixture
def send(server):
    """Sends a request; the answer's status code and object."""

    async def send(method, path, body=None, content_type="application/json", agent="tests/1", **query):
        headers = {"content-type": content_type, "user-agent": agent}
        data = orjson.dumps(body) if body is not None else b""
        answer = await server.handle(Request(method, path, list(query.items()), headers, data))
        return answer.status, orjson.loads(answer.body)

    return send


@pytest.fixture
def apply(send):
    async def apply(config, manager="me", path=f"{DEPLOYMENTS}/app", **query):
        return await send("PATCH", path, config, APPLY, fieldManager=manager, **query)

    return apply


def entry(obj, manager, subresource=""):
    return next(
        (
            e
            for e in obj["metadata"].get("managedFields", ())
            if e["manager"] == manager and e.get("subresource", "") == subresource
        ),
        None,
    )


async def test_apply_creates_and_then_updates(apply):
    """The first apply makes the object; the same again changes nothing at all, not even the time."""
    code, made = await apply(deployment(replicas=2))
    assert code == 201
    mine = entry(made, "me")
    assert (mine["operation"], mine["apiVersion"], mine["fieldsType"]) == ("Apply", "apps/v1", "FieldsV1")
    assert mine["fieldsV1"] == {
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:template": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"main"}': {
                            ".": {},
                            "f:name": {},
                            "f:image": {},
                            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                        }
                    }
                },
            },
        }
    }
    assert await apply(deployment(replicas=2)) == (200, made)


async def test_what_is_no_longer_applied_goes(apply):
    """A dropped item is taken out, a dropped field has its default again, and what was never applied stays."""
    _, made = await apply(deployment(env=("A", "B"), replicas=3))
    assert made["spec"]["replicas"] == 3
    _, changed = await apply(deployment(env=("B",)))
    container = changed["spec"]["template"]["spec"]["containers"][0]
    assert [e["name"] for e in container["env"]] == ["B"]
    assert changed["spec"]["replicas"] == 1
    assert container["terminationMessagePath"] == "/dev/termination-log"


async def test_others_fields_are_a_conflict(apply, send):
    """A field that somebody else has set is his: until it is taken by force, or wanted as he wants it."""
    await apply(deployment(replicas=2))
    merged = {"spec": {"replicas": 5}}
    _, scaled = await send("PATCH", f"{DEPLOYMENTS}/app", merged, MERGE, fieldManager="autoscaler")
    assert "f:replicas" not in entry(scaled, "me")["fieldsV1"]["f:spec"]
    code, refused = await apply(deployment(replicas=2))
    text = 'conflict with "autoscaler" using apps/v1'
    assert code == 409
    assert refused["message"] == f"Apply failed with 1 conflict: {text}: .spec.replicas"
    assert refused["reason"] == "Conflict"
    assert refused["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": text, "field": ".spec.replicas"}
    ]
    code, shared = await apply(deployment(replicas=5))
    assert (code, "f:replicas" in entry(shared, "me")["fieldsV1"]["f:spec"]) == (200, True)
    assert entry(shared, "autoscaler") is not None
    code, taken = await apply(deployment(replicas=2), force="true")
    assert (code, taken["spec"]["replicas"], entry(taken, "autoscaler")) == (200, 2, None)


async def test_a_shared_field_stays_until_its_last_owner_drops_it(apply):
    """Two appliers may want the same; only when nobody wants it any more it goes."""
    await apply(deployment(paused=True), "a")
    await apply(deployment(paused=True), "b")
    _, first = await apply(deployment(), "a")
    assert first["spec"]["paused"] is True
    _, second = await apply(deployment(), "b")
    assert "paused" not in second["spec"]


async def test_a_creator_owns_what_he_sent_and_its_defaults(send):
    """As upstream's create: defaults are the creator's, what the server adds is not; the program names him."""
    code, made = await send("POST", DEPLOYMENTS, deployment(), agent="kubectl-create/v1.37 (linux)")
    assert code == 201
    mine = entry(made, "kubectl-create")
    assert mine["operation"] == "Update"
    spec = mine["fieldsV1"]["f:spec"]
    assert spec["f:strategy"] == {
        "f:type": {},
        "f:rollingUpdate": {".": {}, "f:maxUnavailable": {}, "f:maxSurge": {}},
    }
    assert "f:status" not in mine["fieldsV1"]
    assert "f:uid" not in mine["fieldsV1"].get("f:metadata", {})


async def test_sending_an_object_back_takes_nothing(send):
    """GET and PUT of the whole object: only the field that was changed gets a new owner; the status has none."""
    await send("POST", DEPLOYMENTS, deployment(), agent="creator/1")
    await send("PATCH", f"{DEPLOYMENTS}/app/status", {"status": {"replicas": 1}}, MERGE, agent="controller/1")
    _, got = await send("GET", f"{DEPLOYMENTS}/app")
    got["spec"]["replicas"] = 4
    _, put = await send("PUT", f"{DEPLOYMENTS}/app", got, agent="editor/1")
    assert entry(put, "editor")["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert entry(put, "controller", "status")["fieldsV1"] == {"f:status": {"f:replicas": {}}}
    _, again = await send("PUT", f"{DEPLOYMENTS}/app", put, agent="editor/1")
    assert again == put


async def test_scale_owns_replicas_of_the_object(send, apply):
    """Who scales owns .spec.replicas, through his subresource; an applier sees the conflict."""
    await apply(deployment(replicas=2))
    code, _ = await send(
        "PATCH", f"{DEPLOYMENTS}/app/scale", {"spec": {"replicas": 3}}, MERGE, agent="kubectl/1", fieldManager="scaler"
    )
    assert code == 200
    _, refused = await apply(deployment(replicas=2))
    text = 'conflict with "scaler" with subresource "scale" using apps/v1'
    assert refused["message"] == f"Apply failed with 1 conflict: {text}: .spec.replicas"


async def test_scale_can_be_applied(apply):
    """An applied Scale is a configuration of the object's replicas."""
    await apply(deployment())
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "app"}, "spec": {"replicas": 7}}
    code, scaled = await apply(scale, "scaler", f"{DEPLOYMENTS}/app/scale")
    assert (code, scaled["spec"]["replicas"]) == (200, 7)


async def test_status_is_applied_apart(apply):
    """An apply to the status changes and owns the status alone; one to the object ignores a status in it."""
    await apply({**deployment(), "status": {"replicas": 9}})
    status = {**deployment(image="example.com/other"), "status": {"replicas": 3}}
    code, changed = await apply(status, "controller", f"{DEPLOYMENTS}/app/status", force="true")
    assert (code, changed["status"]["replicas"]) == (200, 3)
    assert changed["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/app:1"
    assert entry(changed, "controller", "status")["fieldsV1"] == {"f:status": {"f:replicas": {}}}
    assert "f:status" not in entry(changed, "me")["fieldsV1"]


async def test_managed_fields_can_be_reset(send, apply):
    """`managedFields: [{}]` starts anew: nothing is tracked until an apply, which finds one owner of everything."""
    await apply(deployment())
    reset = {"metadata": {"managedFields": [{}]}}
    _, bare = await send("PATCH", f"{DEPLOYMENTS}/app", reset, MERGE)
    assert "managedFields" not in bare["metadata"]
    _, still = await send("PATCH", f"{DEPLOYMENTS}/app", {"spec": {"paused": True}}, MERGE)
    assert "managedFields" not in still["metadata"]
    _, applied = await apply(deployment(paused=True))
    assert {e["manager"] for e in applied["metadata"]["managedFields"]} == {"me", "before-first-apply"}


async def test_forgetting_managed_fields_keeps_them(send, apply):
    """A client that does not know of them must not remove them by leaving them out."""
    _, made = await apply(deployment())
    unaware = {**made, "metadata": {k: v for k, v in made["metadata"].items() if k != "managedFields"}}
    _, put = await send("PUT", f"{DEPLOYMENTS}/app", unaware)
    assert put["metadata"]["managedFields"] == made["metadata"]["managedFields"]


async def test_an_apply_may_say_which_object_it_means(apply):
    """By uid: another of the same name is not touched, and none is made. By version: no other state."""
    config = deployment()
    code, refused = await apply({**config, "metadata": {**config["metadata"], "uid": "x"}})
    assert (code, "uid mismatch" in refused["message"]) == (409, True)
    _, made = await apply(config)
    for precondition, code, reason in (({"uid": "x"}, 422, "Invalid"), ({"resourceVersion": "1"}, 409, "Conflict")):
        answer = await apply({**config, "metadata": {**config["metadata"], **precondition}})
        assert (answer[0], answer[1]["reason"]) == (code, reason)
    same = {key: made["metadata"][key] for key in ("uid", "resourceVersion")}
    assert await apply({**config, "metadata": {**config["metadata"], **same}}) == (200, made)


async def test_dry_run_writes_nothing(send, apply):
    """`kubectl diff --server-side`: the whole answer, and no change, whether or not the object is there."""
    assert (await apply(deployment(), dryRun="All"))[0] == 201
    assert (await send("GET", f"{DEPLOYMENTS}/app"))[0] == 404
    await apply(deployment())
    _, would = await apply(deployment(image="example.com/app:2"), dryRun="All")
    assert would["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/app:2"
    _, got = await send("GET", f"{DEPLOYMENTS}/app")
    assert got["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/app:1"


@pytest.mark.parametrize(
    ("change", "query", "code", "message"),
    [
        ({}, {"fieldManager": ""}, 422, "fieldManager: Required value: is required for apply patch"),
        ({}, {"fieldManager": "x" * 129}, 422, "fieldManager: Too long: may not be more than 128 bytes"),
        ({"metadata": {"name": "other"}}, {}, 400, "the name of the object (other) does not match the name on the URL"),
        ({"metadata": {"managedFields": []}}, {}, 400, "metadata.managedFields must be nil"),
        ({"apiVersion": "apps/v2"}, {}, 400, "invalid object type: apps/v2, Kind=Deployment"),
        ({"spec": {"foo": 1}}, {}, 400, ".spec.foo: field not declared in schema"),
        (
            {"spec": {"foo": 1, "bar": 2}},
            {},
            400,
            "errors:\n  .spec.foo: field not declared in schema\n  .spec.bar: field not declared in schema",
        ),
        (
            {"spec": {"template": []}},
            {},
            400,
            "cannot unmarshal array into Go struct field DeploymentSpec.spec.template",
        ),
    ],
)
async def test_bad_configurations(send, change, query, code, message):
    """Upstream's words for what cannot be applied, and never a 500."""
    config = {**deployment(), **change}
    query = {"fieldManager": "me", **query}
    answer = await send("PATCH", f"{DEPLOYMENTS}/app", config, APPLY, **query)
    assert (answer[0], message in answer[1]["message"]) == (code, True), answer


async def test_items_with_the_same_key_are_refused(apply):
    """Which of the two is meant?"""
    config = deployment(env=("A", "A"))
    code, refused = await apply(config)
    assert (code, refused["message"].split(": ", 1)[1]) == (
        400,
        '.spec.template.spec.containers[name="main"].env: duplicate entries for key [name="A"]',
    )


async def test_force_is_for_applies(send, apply):
    """Another patch has nothing to force."""
    await apply(deployment())
    code, refused = await send("PATCH", f"{DEPLOYMENTS}/app", {}, MERGE, force="true")
    assert (code, "force: Forbidden: may not be specified for non-apply patch" in refused["message"]) == (422, True)


async def test_kubectl_takes_over_from_itself(send, apply):
    """Fields as client-side apply left them need no force, for kubectl alone; the annotation follows."""
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    first = deployment(replicas=2)
    annotated = {**first, "metadata": {**first["metadata"], "annotations": {annotation: orjson.dumps(first).decode()}}}
    await send("POST", DEPLOYMENTS, annotated, fieldManager="kubectl-client-side-apply")
    assert (await apply(deployment(replicas=3), "somebody"))[0] == 409
    code, taken = await apply(deployment(replicas=3), "kubectl")
    assert (code, taken["spec"]["replicas"]) == (200, 3)
    assert orjson.loads(taken["metadata"]["annotations"][annotation])["spec"]["replicas"] == 3
    await send("PATCH", f"{DEPLOYMENTS}/app", {"spec": {"paused": True}}, MERGE, fieldManager="other")
    code, refused = await apply(deployment(paused=False), "kubectl")
    assert (code, refused["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "other" using apps/v1: .spec.paused',
    )


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": version,
                "served": True,
                "storage": version == "v1",
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer"},
                                    "color": {"type": "string", "default": "red"},
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                                        },
                                    },
                                },
                            },
                            "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
                        },
                    }
                },
            }
            for version in ("v1", "v2")
        ],
    },
}


def widget(version="v1", **spec):
    return {"apiVersion": f"example.com/{version}", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


@pytest.fixture
async def apply_widget(server, client, apply):
    await client.create(WIDGETS)
    while server.catalog.find("example.com", "v2", "widgets") is None:
        await server.clock.sleep(0.01)

    async def apply_widget(config, manager="me", subresource="", **query):
        version = config["apiVersion"].rpartition("/")[2]
        path = f"/apis/example.com/{version}/namespaces/default/widgets/w{subresource}"
        return await apply(config, manager, path, **query)

    return apply_widget


async def test_custom_kinds_are_applied_by_their_schema(apply_widget):
    """Items merge by the keys that the definition names; what one applier drops the other keeps."""
    assert (await apply_widget(widget(parts=[{"name": "a", "n": 1}]), "one"))[0] == 201
    code, both = await apply_widget(widget(parts=[{"name": "b", "n": 2}]), "two")
    assert (code, [part["name"] for part in both["spec"]["parts"]]) == (200, ["a", "b"])
    assert both["spec"]["color"] == "red"
    _, left = await apply_widget(widget(size=1), "one")
    assert left["spec"]["parts"] == [{"name": "b", "n": 2}]
    assert entry(left, "two")["fieldsV1"] == {
        "f:spec": {"f:parts": {'k:{"name":"b"}': {".": {}, "f:n": {}, "f:name": {}}}}
    }


async def test_custom_kinds_in_two_versions(apply_widget):
    """An applier has one entry whatever version he uses; a conflict names the version of the other."""
    await apply_widget(widget("v1", size=1))
    _, changed = await apply_widget(widget("v2", size=2))
    assert [(e["manager"], e["apiVersion"]) for e in changed["metadata"]["managedFields"]] == [("me", "example.com/v2")]
    code, refused = await apply_widget(widget("v1", size=3), "other")
    assert (code, refused["message"]) == (409, 'Apply failed with 1 conflict: conflict with "me": .spec.size')


async def test_custom_kinds_refuse_what_does_not_fit(apply_widget):
    """Unknown fields, and values that the walkers could not even look at."""
    code, refused = await apply_widget(widget(shape="round"))
    assert (code, ".spec.shape: field not declared in schema" in refused["message"]) == (400, True)
    config = widget(size=1)
    config["metadata"]["nmae"] = "x"
    code, refused = await apply_widget(config)
    assert (code, ".metadata.nmae: field not declared in schema" in refused["message"]) == (400, True)
    code, refused = await apply_widget(widget(parts="a"))
    assert (code, ".spec.parts: expected list" in refused["message"]) == (400, True)
    code, refused = await apply_widget(widget(size="big"))
    assert (code, refused["reason"]) == (422, "Invalid")


async def test_a_custom_status_is_applied_apart(apply_widget):
    """An apply to the status owns nothing else."""
    await apply_widget(widget(size=1))
    code, changed = await apply_widget({**widget(size=2), "status": {"ready": True}}, "controller", "/status")
    assert (code, changed["spec"]["size"], changed["status"]) == (200, 1, {"ready": True})
    assert entry(changed, "controller", "status")["fieldsV1"] == {"f:status": {"f:ready": {}}}
