"""What of a request the audit log tells, decided from a policy, and how its file is kept."""

from datetime import UTC, datetime, timedelta

import pytest

from kaa.server.audit import without_managed_fields
from kaa.server.audit.log import LogFile, append
from kaa.server.audit.policy import BadPolicy, parse_policy
from kaa.server.request import Request, User
from kaa.server.request_info import request_info

ALICE = User("alice", ("team", "system:authenticated"))
HEAD = "{apiVersion: audit.k8s.io/v1, kind: Policy, "
NOW = datetime(2030, 1, 1, tzinfo=UTC)

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: [proxy], verbs: [watch]}
- {level: None, nonResourceURLs: [/healthz*, /version]}
- {level: Metadata, resources: [{group: "", resources: [secrets, "pods/log"]}]}
- {level: Request, resources: [{group: "", resources: [configmaps], resourceNames: [one]}], omitStages: [Panic]}
- {level: RequestResponse, resources: [{group: apps}], omitManagedFields: false}
- {level: Request, namespaces: [kube-system]}
- {level: Metadata, resources: [{group: "", resources: ["*/status", "nodes/*"]}]}
- {level: RequestResponse, userGroups: [auditors]}
"""

DECISIONS = [
    ("proxy", "GET", "/api/v1/watch/services", "None"),
    ("proxy", "GET", "/apis/apps/v1/deployments", "RequestResponse"),
    ("alice", "GET", "/healthz/ping", "None"),
    ("alice", "GET", "/version", "None"),
    ("alice", "GET", "/api", "None"),  # no rule fits
    ("alice", "GET", "/api/v1/namespaces/a/secrets/x", "Metadata"),
    ("alice", "GET", "/api/v1/namespaces/a/pods/x/log", "Metadata"),
    ("alice", "GET", "/api/v1/namespaces/a/pods/x", "None"),
    ("alice", "PUT", "/api/v1/namespaces/a/configmaps/one", "Request"),
    ("alice", "PUT", "/api/v1/namespaces/a/configmaps/two", "None"),
    ("alice", "PUT", "/api/v1/namespaces/kube-system/configmaps/two", "Request"),
    ("alice", "PUT", "/api/v1/namespaces/a/pods/x/status", "Metadata"),
    ("alice", "GET", "/api/v1/nodes/x", "Metadata"),
    ("alice", "GET", "/api/v1/nodes/x/proxy", "Metadata"),
    ("auditor", "GET", "/api", "RequestResponse"),
]


@pytest.mark.parametrize(("name", "method", "path", "level"), DECISIONS)
def test_the_first_rule_that_fits_decides(name: str, method: str, path: str, level: str) -> None:
    """Users, groups, verbs, resources with their subresources and names, namespaces and paths, as upstream."""
    user = User(name, ("auditors",) if name == "auditor" else ())
    assert parse_policy(POLICY).decide(user, path, request_info(Request(method, path))).level == level


def test_a_rule_adds_to_the_policy_s_stages_and_may_differ_about_managed_fields() -> None:
    """Stages are left out by either; a rule's omitManagedFields comes before the policy's."""
    policy = parse_policy(POLICY)

    def decide(path: str):
        return policy.decide(ALICE, path, request_info(Request("GET", path)))

    assert decide("/api/v1/namespaces/a/configmaps/one").omit_stages == {"RequestReceived", "Panic"}
    assert decide("/api/v1/namespaces/a/configmaps/one").omit_managed_fields
    assert not decide("/apis/apps/v1/deployments").omit_managed_fields


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [", "not YAML"),
        ("kind: Policy", "must have apiVersion"),
        (HEAD + "}", "at least one rule"),
        (
            HEAD + "rules: [{level: All}]}",
            'rules[0].level: Unsupported value: "All"',
        ),
        (HEAD + "rules: [{level: None, omitStages: [Then]}]}", '"Then"'),
        (HEAD + "rules: [{level: None, users: bob}]}", "rules[0].users"),
        (
            HEAD + "rules: [{level: None, namespaces: [a], nonResourceURLs: [/x]}]}",
            "cannot apply to both",
        ),
        (
            HEAD + "rules: [{level: None, resources: [{resourceNames: [a]}]}]}",
            "requires at least one resource",
        ),
    ],
)
def test_a_bad_policy_says_where(text: str, fault: str) -> None:
    """A server with a policy that does not mean anything must not start."""
    with pytest.raises(BadPolicy) as raised:
        parse_policy(text)
    assert fault in str(raised.value)


def test_managed_fields_are_left_out_of_lists_too() -> None:
    """They are most of an object's size, and tell nothing that the log does not."""
    obj = {"metadata": {"name": "a", "managedFields": [{}]}}
    assert without_managed_fields({"items": [obj], "metadata": {}}) == {
        "items": [{"metadata": {"name": "a"}}],
        "metadata": {},
    }
    assert "managedFields" in obj["metadata"]


def test_a_full_file_is_put_aside_and_the_oldest_go(tmp_path) -> None:
    """No line is split or lost, no file is larger than its bound, and there are no more than wanted."""
    file = LogFile(str(tmp_path / "audit.log"), max_bytes=30, max_backups=2)
    for index in range(8):
        append(file, [b"line %03d\n" % (2 * index), b"line %03d\n" % (2 * index + 1)], NOW + timedelta(seconds=index))
    backups = sorted(path for path in tmp_path.iterdir() if path.name != "audit.log")
    assert len(backups) == 2
    lines = b"".join(path.read_bytes() for path in [*backups, tmp_path / "audit.log"]).splitlines()
    assert lines == [b"line %03d" % index for index in range(16 - len(lines), 16)]
    assert all(path.stat().st_size <= 30 for path in tmp_path.iterdir())
    assert (tmp_path / "audit.log").stat().st_mode & 0o077 == 0


def test_files_that_are_too_old_go(tmp_path) -> None:
    """By the day in their name, however few there are."""
    file = LogFile(str(tmp_path / "audit.log"), max_bytes=10, max_backups=0, max_age_days=2)
    for days in (0, 1, 2, 3):
        append(file, [b"line %03d\n" % days], NOW + timedelta(days=days, seconds=days))
    left = b"".join(sorted(path.read_bytes() for path in tmp_path.iterdir()))
    assert left == b"line 001\nline 002\nline 003\n"


def test_files_filled_at_one_moment_do_not_replace_each_other(tmp_path) -> None:
    """Names have milliseconds only; many small files in one of them all stay."""
    append(LogFile(str(tmp_path / "audit.log"), max_bytes=10), [b"line %03d\n" % index for index in range(5)], NOW)
    assert len(list(tmp_path.iterdir())) == 5
