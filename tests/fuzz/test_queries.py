"""Paths, query parameters and headers with values that nobody should send."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.hostile import BOUNDED, ODD_STRINGS, STRINGS
from tests.fuzz.sending import Victim, check

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
READ = (
    CONFIGMAPS,
    f"{CONFIGMAPS}/one",
    "/api/v1/pods",
    "/api/v1/namespaces/default/pods/one/log",
    "/api/v1/watch/secrets",
    "/apis/apps/v1/namespaces/default/deployments/one/scale",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")

PARAMETERS = (
    "allowWatchBookmarks",
    "command",
    "container",
    "continue",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "follow",
    "force",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "includeObject",
    "labelSelector",
    "limit",
    "limitBytes",
    "orphanDependents",
    "path",
    "ports",
    "pretty",
    "previous",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "sinceSeconds",
    "sinceTime",
    "stdin",
    "stream",
    "tailLines",
    "timeout",
    "timeoutSeconds",
    "timestamps",
    "tty",
    "verbose",
    "watch",
)
"""Every query parameter that the API knows."""

ODD_VALUES = [
    *ODD_STRINGS,
    "true",
    "1",
    "Exact",
    "NotOlderThan",
    "99999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "1e5",
    "0x10",
    "1_000",
    "+1",
    " 1",
    "a=b,",
    "a in (",
    "a in ()",
    "!",
    "!!a",
    "a in (b,c),d notin (e),f,!g",
    "a>1,b<99999999999999999999999",
    "metadata.name=a",
    "metadata.name!=a",
    "spec.nodeName==",
    "metadata.name=\\",
    "," * 10_000,
    "a=b," * 10_000,
    "Orphan",
    "All",
    "Strict",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",  # a good token
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTUsInN0YXJ0IjoiYSJ9",  # revision -5
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSwic3RhcnQiOiIuLi8uLiJ9",  # beyond 64 bits
    "W10",  # []
    "e30",  # {}
    "bnVsbA",  # null
    "MTIz",  # 123
    "=",
    "A",
]
VALUES = st.one_of(st.sampled_from(ODD_VALUES), STRINGS)
WORDS = (
    "api apis v1 apps namespaces pods default watch status scale log proxy finalize configmaps openapi v2 v3 healthz "
    "readyz metrics version .. . .well-known openid-configuration openid jwks https:a:b binding eviction token exec"
)
SEGMENTS = st.one_of(STRINGS, st.sampled_from(["", *WORDS.split()]))
ACCEPTS = st.one_of(
    STRINGS,
    st.sampled_from(
        [
            "text/html",
            "*/*;q=0",
            "application/json;q=x",
            "application/json;q=nan",
            "application/json;q=inf",
            "application/json;as=Table",
            "application/json;as=Table;v=v9;g=meta.k8s.io",
            "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
            "application/vnd.kubernetes.protobuf;stream=watch",
            "application/yaml;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "application/json;;;===;,,,",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            "application/json," * 5000,
        ]
    ),
)


@BOUNDED
@given(st.sampled_from(METHODS), st.lists(SEGMENTS, max_size=9), ACCEPTS)
def test_odd_paths(victim: Victim, method: str, segments: list[str], accept: str) -> None:
    """No path, decoded or as it came, reaches anything but a resource, a page or a refusal."""
    path = "/" + "/".join(segments)
    check(victim.ask(method, path, accept=accept))
    check(victim.ask(method, quote(path, safe=""), accept=accept))


@BOUNDED
@given(st.text(max_size=30), st.sampled_from(METHODS))
def test_names_that_are_none(victim: Victim, name: str, method: str) -> None:
    """A name in a path may be anything; what comes of it is a refusal."""
    check(victim.ask(method, f"{CONFIGMAPS}/{name}", {"metadata": {"name": name}}))
    check(victim.ask(method, f"/api/v1/namespaces/{name}/pods/{name}/{name}"))


TYPES = {"PATCH": "application/merge-patch+json", "PUT": "application/json", "POST": "application/json"}
"""Methods with a body, and its type."""


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("path", READ)
def test_each_parameter_with_each_value(victim: Victim, parameter: str, path: str) -> None:
    """Each parameter with each bad value is refused or has no meaning, for reads, watches and writes."""
    body = {"metadata": {"name": "one"}}
    for value in ODD_VALUES:
        victim.create(CONFIGMAPS, {"metadata": {"name": "one"}})
        query = [(parameter, value)]
        check(victim.ask("GET", path, query=query))
        check(victim.ask("GET", path, query=[*query, ("watch", "1")]))
        check(
            victim.ask(
                "GET", path, query=[*query, ("limit", "1")], accept="application/json;as=Table;v=v1;g=meta.k8s.io"
            )
        )
        for method, content_type in TYPES.items():
            check(victim.ask(method, path, body, query=query, content_type=content_type))
        check(victim.ask("DELETE", path, query=query))


@BOUNDED
@given(
    st.sampled_from(METHODS),
    st.sampled_from(READ),
    st.lists(st.tuples(st.sampled_from(PARAMETERS), VALUES), max_size=5),
    ACCEPTS,
)
def test_parameters_together(victim: Victim, method: str, path: str, query: list[tuple[str, str]], accept: str) -> None:
    """Parameters that contradict each other are refused or have no meaning."""
    body = {"metadata": {"name": "one"}} if method in TYPES else b""
    check(victim.ask(method, path, body, query=query, content_type=TYPES.get(method, ""), accept=accept))


@BOUNDED
@given(VALUES, st.sampled_from(["", "0", "1", "99999999999999999999"]), st.sampled_from(["", "1", "-1", "5"]))
def test_continue_tokens(victim: Victim, token: str, revision: str, limit: str) -> None:
    """A token that was tampered with is no way to other keys, nor to a crash."""
    query = [("continue", token), ("resourceVersion", revision), ("limit", limit)]
    check(victim.ask("GET", CONFIGMAPS, query=query))
    check(victim.ask("GET", CONFIGMAPS, query=[*query, ("watch", "1"), ("timeoutSeconds", "1")]))


HEADERS = (
    "accept",
    "authorization",
    "connection",
    "content-type",
    "if-none-match",
    "impersonate-extra-a",
    "impersonate-group",
    "impersonate-uid",
    "impersonate-user",
    "range",
    "sec-websocket-protocol",
    "upgrade",
    "x-remote-user",
    "x-stream-protocol-version",
)


@pytest.mark.parametrize("header", HEADERS)
@BOUNDED
@given(
    value=st.one_of(STRINGS, ACCEPTS), path=st.sampled_from([CONFIGMAPS, "/apis", "/openapi/v2", "/openapi/v3", "/"])
)
def test_headers(victim: Victim, header: str, value: str, path: str) -> None:
    """A header that makes no sense is ignored or refused."""
    named = {header.replace("-", "_"): value}
    check(victim.ask("GET", path, **named))
    check(victim.ask("POST", CONFIGMAPS, {"metadata": {"generateName": "h-"}}, **named))
