"""A path means exactly one thing: authorization decides about what is parsed here."""

import pytest

from kaa.server.request import Request
from kaa.server.request_info import request_info


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", "", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", "", ("list", "", "v1", "pods", "a", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", "watch=true", ("watch", "", "v1", "pods", "a", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", "watch=false", ("list", "", "v1", "pods", "a", "", "")),
        ("GET", "/api/v1/watch/pods", "", ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/watch/namespaces/a/pods/x", "", ("watch", "", "v1", "pods", "a", "x", "")),
        ("GET", "/apis/apps/v1/deployments/d", "", ("get", "apps", "v1", "deployments", "", "d", "")),
        ("HEAD", "/api/v1/nodes/n", "", ("get", "", "v1", "nodes", "", "n", "")),
        ("POST", "/api/v1/namespaces/a/pods/x/exec", "", ("create", "", "v1", "pods", "a", "x", "exec")),
        ("PUT", "/api/v1/namespaces/a/status", "", ("update", "", "v1", "namespaces", "a", "a", "status")),
        ("GET", "/api/v1/namespaces/a", "", ("get", "", "v1", "namespaces", "a", "a", "")),
        ("DELETE", "/api/v1/namespaces/a/pods", "", ("deletecollection", "", "v1", "pods", "a", "", "")),
        (
            "GET",
            "/api/v1/namespaces/a/pods",
            "fieldSelector=metadata.name=x",
            ("list", "", "v1", "pods", "a", "x", ""),
        ),
    ],
)
def test_resources(method, path, query, expected):
    """Verb, group, version, resource, namespace, name and subresource, as RBAC rules name them."""
    parameters = [tuple(part.split("=", 1)) for part in query.split("&") if part]
    info = request_info(Request(method, path, parameters))
    assert info.is_resource
    assert (info.verb, info.group, info.version, info.plural, info.namespace, info.name, info.subresource) == expected


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz", "/metrics"])
def test_other_paths(path):
    """Discovery, health and the like are authorized by their path and method."""
    info = request_info(Request("GET", path))
    assert (info.is_resource, info.verb) == (False, "get")


def test_what_follows_a_proxy_is_the_path_to_ask_for():
    """Only the first segment is the subresource; the rest belongs to whom the request is passed on to."""
    info = request_info(Request("GET", "/api/v1/namespaces/a/services/web:80/proxy/x/y"))
    assert (info.name, info.subresource, info.rest) == ("web:80", "proxy", "x/y")
