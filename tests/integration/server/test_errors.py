"""What goes wrong is a Status with upstream's code, reason and text: kubectl and client-go act on them."""

import orjson
import pytest

from kaa.api.errors import APIError
from kaa.server.request import MAX_BODY_BYTES, Request, User

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
PODS = "/api/v1/namespaces/default/pods"


async def ask(server, method, path, *, body=b"", headers=None, query=(), user=None):
    request = Request(method, path, list(query), headers or {}, body)
    if user is not None:
        request.user = user
    response = await server.handle(request)
    return response, orjson.loads(response.body)


NO_RESOURCE = (404, "NotFound", "the server could not find the requested resource")
NO_METHOD = (405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/nosuch", NO_RESOURCE),
        ("GET", "/apis/no.group/v1/x", NO_RESOURCE),
        ("GET", f"{PODS}/p/nosuch", NO_RESOURCE),
        ("GET", f"{PODS}/p", (404, "NotFound", 'pods "p" not found')),
        ("GET", "/apis/apps/v1/namespaces/a/deployments/d", (404, "NotFound", 'deployments.apps "d" not found')),
        ("POST", f"{PODS}/p", NO_METHOD),
        ("POST", "/api/v1/pods", NO_METHOD),
        ("DELETE", "/version", NO_METHOD),
    ],
)
async def test_paths_and_methods(server, method, path, expected):
    """What is not served, and what is not done to it."""
    response, status = await ask(server, method, path)
    assert (response.status, status["reason"], status["message"]) == expected
    assert status["kind"] == "Status"
    assert status["code"] == response.status


async def test_unknown_paths_are_plain_text(server):
    """Outside the API there are no Status objects, as with upstream's server."""
    response = await server.handle(Request("GET", "/nosuch"))
    assert (response.status, response.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    ("content_type", "body", "code", "text"),
    [
        ("application/json", b"{", 400, "the object provided is unrecognized (must be of type Pod)"),
        ("application/json", b"[]", 400, "the object provided is unrecognized (must be of type Pod)"),
        ("application/json", b'{"kind":"Node","apiVersion":"v1"}', 400, "cannot be handled as a Pod"),
        ("application/json", b'{"spec":{"containers":3}}', 400, "json: cannot unmarshal number into Go struct field"),
        ("application/xml", b"<a/>", 415, "the body of the request was in an unknown format - accepted media types"),
        ("application/json", b" " * (MAX_BODY_BYTES + 1), 413, "Request entity too large: limit is 3145728"),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\xff", 400, "cannot be handled as a Pod"),
        ("application/yaml", b"a: [", 400, "the object provided is unrecognized (must be of type Pod)"),
    ],
)
async def test_bodies(server, content_type, body, code, text):
    """A bad body never reaches admission, and never costs more than its own request."""
    response, status = await ask(server, "POST", PODS, body=body, headers={"content-type": content_type})
    assert response.status == code
    assert text in status["message"]


async def test_not_acceptable(server):
    """An Accept header that leaves nothing to answer with."""
    response, status = await ask(server, "GET", PODS, headers={"accept": "application/xml"})
    assert response.status == 406
    assert status["message"].startswith("only the following media types are accepted: application/json")


async def test_unknown_fields(server, client):
    """Warn is the default: the object is made, and the answer says what was dropped."""
    body = orjson.dumps({"metadata": {"name": "a"}, "data": {}, "foo": 1})
    path = "/api/v1/namespaces/default/configmaps"
    response, _ = await ask(server, "POST", path, body=body)
    assert response.status == 201
    assert response.headers["warning"] == '299 - "unknown field \\"foo\\""'
    response, status = await ask(server, "POST", path, body=body, query=[("fieldValidation", "Strict")])
    assert response.status == 400
    assert 'strict decoding error: unknown field "foo"' in status["message"]


async def test_a_forbidden_request_says_what_is_forbidden(server):
    """The sentence that administrators turn into a role."""

    class Nobody:
        def authorize(self, attributes):
            return False, ""

    server.chain.authorizer = Nobody()
    user = User("x", ("system:authenticated",))
    for path, text in (
        (PODS, 'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"'),
        (
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            'deployments.apps "d" is forbidden: User "x" cannot get resource "deployments/scale" in API group "apps" '
            'in the namespace "a"',
        ),
        (
            "/api/v1/nodes",
            'nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        ("/metrics", 'forbidden: User "x" cannot get path "/metrics"'),
    ):
        response, status = await ask(server, "GET", path, user=user)
        assert (response.status, status["message"]) == (403, text)


async def test_a_fault_of_ours_is_a_500_and_not_the_end(server, client, caplog):
    """An exception nobody expected ends its request, with a traceback in the log; the server lives on."""

    class Broken:
        def authorize(self, attributes):
            raise ZeroDivisionError("oops")

    good, server.chain.authorizer = server.chain.authorizer, Broken()
    response, status = await ask(server, "GET", PODS)
    assert (response.status, status["reason"]) == (500, "InternalError")
    assert "ZeroDivisionError" in caplog.text
    server.chain.authorizer = good
    assert (await client.list("Pod")).items == []


async def test_dry_run_changes_nothing(server, client):
    """dryRun=All goes all the way but the store."""
    made = await client.create({**POD, "kind": "ConfigMap", "spec": None}, "default", query=[("dryRun", "All")])
    assert made["metadata"]["uid"]
    with pytest.raises(APIError) as refused:
        await client.get("ConfigMap", "p", "default")
    assert refused.value.reason == "NotFound"
    _, status = await ask(server, "POST", PODS, body=orjson.dumps(POD), query=[("dryRun", "Some")])
    assert status["message"].endswith('dryRun: Unsupported value: "Some": supported values: "All"')
