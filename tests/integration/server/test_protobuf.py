"""Protobuf answers, as client-go's typed clients and upstream's components ask for them."""

from kaa.api.protobuf import builtin_codec, decode_object, encode_object
from kaa.server.request import Request

PROTOBUF = "application/vnd.kubernetes.protobuf"
PODS = "/api/v1/namespaces/default/pods"

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "default", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "registry.example.com/web:1"}]},
}


async def send(server, method, path, body=b"", accept=f"{PROTOBUF}, */*", **query):
    headers = {"accept": accept, "content-type": PROTOBUF}
    return await server.handle(Request(method, path, list(query.items()), headers, body))


async def test_a_pod_in_and_out(server, client):
    """What is read as protobuf is what is read as JSON."""
    created = await send(server, "POST", PODS, encode_object(POD))
    assert (created.status, created.content_type) == (201, PROTOBUF)
    got = await send(server, "GET", f"{PODS}/a")
    pod = decode_object(got.body, "", "")
    known = await client.get("Pod", "a", "default")
    assert (pod["apiVersion"], pod["kind"], pod["metadata"]["uid"]) == ("v1", "Pod", known["metadata"]["uid"])
    assert pod["metadata"]["resourceVersion"] == known["metadata"]["resourceVersion"]
    assert pod["spec"]["containers"][0]["image"] == POD["spec"]["containers"][0]["image"]
    listed = decode_object((await send(server, "GET", PODS)).body, "", "")
    assert (listed["kind"], [item["metadata"]["name"] for item in listed["items"]]) == ("PodList", ["a"])
    assert listed["metadata"]["resourceVersion"]


async def frames(response, count):
    """The first events of a watch: (type, object)."""
    received, buffer = [], b""
    async for chunk in response.chunks:
        buffer += chunk
        while len(buffer) >= 4 and len(buffer) >= 4 + int.from_bytes(buffer[:4], "big"):
            size = int.from_bytes(buffer[:4], "big")
            received.append(buffer[4 : 4 + size])
            buffer = buffer[4 + size :]
        if len(received) >= count:
            break
    await response.chunks.aclose()
    return [watch_event(frame) for frame in received]


def watch_event(frame):
    """A WatchEvent's type and its object, which is an envelope of its own inside field 2."""
    event = builtin_codec().message("meta.v1.WatchEvent")
    type_end = 2 + frame[1]
    decoded = event.decode(frame[:type_end])
    envelope = frame[frame.index(b"k8s\x00") :]
    return decoded["type"], decode_object(envelope, "", "")


async def test_a_watch_is_frames(server, client):
    """Length, event, envelope; the initial events end with a bookmark, as WatchList clients wait for."""
    await client.create(POD)
    query = {
        "watch": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    watch = await send(server, "GET", PODS, accept=f"{PROTOBUF};stream=watch,application/json;stream=watch", **query)
    assert watch.content_type == f"{PROTOBUF};stream=watch"
    (added, pod), (bookmark, end) = await frames(watch, 2)
    assert (added, pod["metadata"]["name"]) == ("ADDED", "a")
    assert (bookmark, end["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})


async def test_a_refusal_is_a_status(server):
    """Errors come in the encoding that was asked for."""
    answer = await send(server, "GET", f"{PODS}/absent")
    status = decode_object(answer.body, "", "")
    assert (answer.status, answer.content_type) == (404, PROTOBUF)
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "NotFound", 404)
    assert status["details"]["name"] == "absent"


async def test_a_deletion_is_told(server, client):
    """The Status that answers a DELETE comes as asked for, too."""
    await client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}})
    answer = await send(server, "DELETE", "/api/v1/namespaces/default/configmaps/a")
    assert decode_object(answer.body, "", "")["status"] == "Success"
