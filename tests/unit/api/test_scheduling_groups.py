"""PodGroups and Workloads: one policy each, and only a gang's size changes."""

import pytest

from kaa.api.validation.scheduling import validate_pod_group, validate_pod_group_update, validate_workload


def group(**policy):
    return {"metadata": {"name": "g"}, "spec": {"schedulingPolicy": policy}}


@pytest.mark.parametrize("policy", [{"basic": {}}, {"gang": {"minCount": 1}}])
def test_one_policy_is_right(policy):
    """Either of the two."""
    assert validate_pod_group(group(**policy), None) == []


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({}, "spec.schedulingPolicy: Required value: must specify one of: `basic`, `gang`"),
        (
            {"basic": {}, "gang": {"minCount": 1}},
            'spec.schedulingPolicy: Invalid value: "{basic, gang}": must specify exactly one of: `basic`, `gang`',
        ),
        (
            {"gang": {"minCount": 0}},
            "spec.schedulingPolicy.gang.minCount: Invalid value: 0: must be greater than or equal to 1",
        ),
    ],
)
def test_other_policies_are_wrong(policy, message):
    """None, both, or a gang of nobody."""
    assert [str(error) for error in validate_pod_group(group(**policy), None)] == [message]


def test_a_gang_changes_in_size_only():
    """Its kind of policy is chosen once."""
    small, large = group(gang={"minCount": 1}), group(gang={"minCount": 5})
    assert validate_pod_group_update(large, small, "") == []
    assert validate_pod_group_update(group(basic={}), small, "") != []
    assert validate_pod_group_update(group(basic={}), small, "status") == []


def test_a_workloads_templates():
    """Each has a name and a policy."""
    template = {"name": "workers", "schedulingPolicy": {"gang": {"minCount": 2}}}
    assert validate_workload({"spec": {"podGroupTemplates": [template]}}, None) == []
    errors = validate_workload({"spec": {"podGroupTemplates": [{"schedulingPolicy": {}}]}}, None)
    assert [error.field for error in errors] == [
        "spec.podGroupTemplates[0].name",
        "spec.podGroupTemplates[0].schedulingPolicy",
    ]
