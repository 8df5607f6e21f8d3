"""The audit log of a whole server: which events a request leaves in the file, and what they say."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from kaa.api.errors import APIError
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.chain import Chain, Core, TrustEverybody
from kaa.server.main import BadConfiguration, ServerOptions, audit_of
from kaa.server.request import Attributes, Request, Response, User
from kaa.store.memory import MemoryStore

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, resources: [{group: "", resources: [events]}]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: RequestResponse, omitStages: [RequestReceived], omitManagedFields: true}
"""

BOB = User("bob", ("system:authenticated",), "7", {"scopes": ("a",)})


class Forbidding(TrustEverybody):
    """Lets nobody delete, and knows no tokens."""

    async def authenticate(self, request: Request) -> User | None:
        raise APIError("Unauthorized", "Unauthorized")

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        return (False, "no rule") if attributes.verb == "delete" else (True, "a rule")


class Faulty(TrustEverybody):
    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        raise ZeroDivisionError


def chain(core: Core) -> Chain:
    security = Forbidding()
    return Chain(security, security, security)


@dataclass
class Audited:
    server: APIServer
    file: Path

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        data = orjson.dumps(body) if body is not None else b""
        request = Request(method, path, headers=names, body=data, client_address="192.0.2.7", user=BOB)
        if "?" in path:
            request.path, _, request.raw_query = path.partition("?")
            request.query = [tuple(part.split("=")) for part in request.raw_query.split("&")]
        return await self.server.handle(request)

    async def events(self) -> list:
        """All that was written; ends the server."""
        await self.server.stop()
        return [orjson.loads(line) for line in self.file.read_bytes().splitlines()] if self.file.exists() else []


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Audited]:
    clock = WallClock()
    policy, file = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(POLICY)
    audit = audit_of(ServerOptions(data_dir=tmp_path, audit_policy_file=policy, audit_log_path=str(file)), clock)
    store = MemoryStore(clock)
    server = APIServer(store, clock, secure=chain, audit=audit)
    await server.start()
    await server.writer.create("Namespace", {"metadata": {"name": "default"}})
    yield Audited(server, file)
    await server.stop()
    await store.close()


async def test_a_write_is_told_with_its_bodies(audited: Audited) -> None:
    """Upstream's Event, field by field: who, from where, what was sent and what came back."""
    path = "/api/v1/namespaces/default/configmaps"
    answer = await audited.ask(
        "POST", path, {"metadata": {"name": "a"}, "data": {"x": "1"}}, user_agent="kubectl", audit_id="my-id"
    )
    assert answer.headers["audit-id"] == "my-id"
    (event,) = await audited.events()
    assert event.pop("requestReceivedTimestamp") <= event.pop("stageTimestamp")
    response = event.pop("responseObject")
    assert response["data"] == {"x": "1"}
    assert "managedFields" not in response["metadata"]
    assert event == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "my-id",
        "stage": "ResponseComplete",
        "requestURI": path,
        "verb": "create",
        "user": {"username": "bob", "uid": "7", "groups": ["system:authenticated"], "extra": {"scopes": ["a"]}},
        "sourceIPs": ["192.0.2.7"],
        "userAgent": "kubectl",
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestObject": {"metadata": {"name": "a"}, "data": {"x": "1"}},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "a rule"},
    }


async def test_what_an_update_replaces_is_told(audited: Audited) -> None:
    """The uid and version that the client sent are in the reference, and its URI is as it came."""
    metadata = {"name": "a", "uid": "u-1", "resourceVersion": "7"}
    body = orjson.dumps({"metadata": metadata})
    path = "/api/v1/namespaces/default/configmaps/a"
    request = Request("PUT", path, [("x", "a b")], {}, body, user=BOB, raw_query="x=a%20b", raw_uri=f"{path}?x=a%20b")
    await audited.server.handle(request)
    (event,) = await audited.events()
    assert event["requestURI"] == f"{path}?x=a%20b"
    assert event["objectRef"] == {**metadata, "resource": "configmaps", "namespace": "default", "apiVersion": "v1"}


async def test_metadata_tells_no_contents(audited: Audited) -> None:
    """A secret must not be in the log because somebody made it; both stages have one id."""
    body = {"metadata": {"name": "s"}, "stringData": {"x": "the secret"}}
    await audited.ask("POST", "/api/v1/namespaces/default/secrets", body)
    events = await audited.events()
    assert [event["stage"] for event in events] == ["RequestReceived", "ResponseComplete"]
    assert events[0]["auditID"] == events[1]["auditID"]
    assert b"the secret" not in audited.file.read_bytes()


async def test_what_the_policy_leaves_out_leaves_nothing(audited: Audited) -> None:
    """Level None writes no line and gives the answer no id."""
    answer = await audited.ask("GET", "/api/v1/namespaces/default/events")
    assert "audit-id" not in answer.headers
    assert await audited.events() == []


async def test_refusals_say_why(audited: Audited) -> None:
    """A request that was forbidden is what the log is for; so is who acts as somebody else."""
    await audited.ask("DELETE", "/api/v1/namespaces/default/configmaps/a", impersonate_user="carol")
    (event,) = await audited.events()
    assert event["user"]["username"] == "bob"
    assert event["impersonatedUser"]["username"] == "carol"
    assert event["annotations"] == {
        "authorization.k8s.io/decision": "forbid",
        "authorization.k8s.io/reason": "no rule",
    }
    assert event["responseStatus"]["code"] == 403
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert 'User "carol" cannot delete' in event["responseStatus"]["message"]


async def test_wrong_credentials_are_told(audited: Audited) -> None:
    """Somebody who tries tokens leaves a trace, without what he sent."""
    path = "/api/v1/namespaces/default/configmaps"
    answer = await audited.server.handle(Request("POST", path, body=b'{"data": {"x": "sent"}}'))
    assert answer.status == 401
    (event,) = await audited.events()
    assert (event["stage"], event["level"]) == ("ResponseStarted", "Metadata")
    assert event["responseStatus"]["reason"] == "Unauthorized"
    assert b"sent" not in audited.file.read_bytes()


async def test_a_fault_of_the_server_is_a_panic(audited: Audited, caplog: pytest.LogCaptureFixture) -> None:
    """It ends one request, and the log tells it from an ordinary refusal."""

    audited.server.chain.authorizer = Faulty()
    assert (await audited.ask("GET", "/api/v1/namespaces/default/configmaps")).status == 500
    (event,) = await audited.events()
    assert event["stage"] == "Panic"
    assert event["responseStatus"]["code"] == 500
    assert "failed" in caplog.text


async def test_a_watch_is_told_when_it_begins_and_when_it_ends(audited: Audited) -> None:
    """Also one whose client has gone before the first byte."""
    answer = await audited.ask("GET", "/api/v1/namespaces/default/configmaps?watch=true")
    assert answer.chunks is not None
    await answer.chunks.aclose()
    await answer.chunks.aclose()
    events = await audited.events()
    assert [event["stage"] for event in events] == ["ResponseStarted", "ResponseComplete"]
    assert events[0]["requestURI"] == "/api/v1/namespaces/default/configmaps?watch=true"
    assert events[0]["verb"] == "watch"


def test_there_is_no_audit_without_a_policy(tmp_path: Path) -> None:
    """It costs nothing then; and a policy that cannot be read stops the start with its name."""
    assert audit_of(ServerOptions(data_dir=tmp_path, audit_log_path="-"), WallClock()) is None
    (tmp_path / "bad.yaml").write_text("kind: Policy")
    with pytest.raises(BadConfiguration, match=r"bad\.yaml: must have apiVersion"):
        audit_of(
            ServerOptions(data_dir=tmp_path, audit_log_path="-", audit_policy_file=tmp_path / "bad.yaml"), WallClock()
        )
