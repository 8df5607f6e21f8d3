"""Rules for admission policies and their bindings: in the words of a real v1.37 server."""

from typing import Any

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object
from kaa.api.validation import validate
from kaa.api.validation.policies import NAME_IS_KEPT, NOTHING_TO_DO, ONE_OF_BOTH, SAID_TWICE

CATALOG = builtin_catalog()
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
CONSTRAINTS = {"resourceRules": [RULE]}
VALIDATING, MUTATING = "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"
PATCH = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}
REQUIRED = "Required value"


def problems(kind: str, new: Object, old: Object | None = None, name: str = "a.example") -> list[str]:
    resource = CATALOG.named(kind)
    objects = [copy_object({"metadata": {"name": name}, **obj}) for obj in (new, old) if obj is not None]
    for obj in objects:
        if resource.defaults is not None:
            resource.defaults(obj)
    return [str(error) for error in validate(resource, objects[0], objects[1] if old is not None else None)]


def validating(**fields: Any) -> Object:
    return {"spec": {"matchConstraints": CONSTRAINTS, "validations": [{"expression": "true"}]} | fields}


def mutating(**fields: Any) -> Object:
    return {"spec": {"matchConstraints": CONSTRAINTS, "reinvocationPolicy": "Never", "mutations": [PATCH]} | fields}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (validating(), []),
        (
            {"spec": {}},
            [
                f"spec.matchConstraints: {REQUIRED}",
                f"spec.validations: {REQUIRED}: {NOTHING_TO_DO}",
                f"spec.auditAnnotations: {REQUIRED}: {NOTHING_TO_DO}",
            ],
        ),
        (validating(matchConstraints={}), [f"spec.matchConstraints.resourceRules: {REQUIRED}"]),
        (
            validating(failurePolicy="x"),
            ['spec.failurePolicy: Unsupported value: "x": supported values: "Fail", "Ignore"'],
        ),
        (
            validating(paramKind={"apiVersion": "a/b/c"}),
            [
                'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
                f"spec.paramKind.kind: {REQUIRED}",
            ],
        ),
        (validating(paramKind={"apiVersion": "v1", "kind": "ConfigMap"}), []),
        (
            validating(matchConstraints={"resourceRules": [RULE | {"resourceNames": ["a", "a", "b/c"]}]}),
            [
                'spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
                "spec.matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: \"b/c\": may not contain '/'",
            ],
        ),
        (
            validating(matchConditions=[{"name": "a", "expression": "true"}, {"name": "a", "expression": " "}]),
            [
                f"spec.matchConditions[1].expression: {REQUIRED}",
                'spec.matchConditions[1].name: Duplicate value: "a"',
            ],
        ),
        (
            validating(matchConditions=[{"name": f"a{i}", "expression": "true"} for i in range(65)]),
            ["spec.matchConditions: Too many: 65: must have at most 64 items"],
        ),
        (
            validating(
                variables=[{"name": "for", "expression": "1"}, {"name": " "}, {"name": "ok", "expression": "1"}]
            ),
            [
                'spec.variables[0].name: Invalid value: "for": must be a valid CEL identifier',
                f"spec.variables[1].name: {REQUIRED}: name is not specified",
                f"spec.variables[1].expression: {REQUIRED}: expression is not specified",
            ],
        ),
        (
            validating(validations=[{"message": "a\nb", "messageExpression": " ", "reason": "x"}]),
            [
                f"spec.validations[0].expression: {REQUIRED}: expression is not specified",
                'spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
                'spec.validations[0].message: Invalid value: "a\\nb": must not contain line breaks',
                'spec.validations[0].reason: Unsupported value: "x": supported values: "Forbidden", "Invalid", '
                '"RequestEntityTooLarge"',
            ],
        ),
        (
            validating(validations=[], auditAnnotations=[{"key": "a", "valueExpression": "'x'"}, {"key": "a"}]),
            [
                f"spec.auditAnnotations[1].valueExpression: {REQUIRED}: valueExpression is not specified",
                'spec.auditAnnotations[1].key: Duplicate value: "a"',
            ],
        ),
    ],
)
def test_a_validating_policy_says_what_it_judges_and_how(policy: Object, expected: list[str]) -> None:
    """All that is wrong with a policy is said at once; one that does nothing is refused."""
    assert problems(VALIDATING, policy) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (mutating(), []),
        (
            {"spec": {"matchConstraints": CONSTRAINTS}},
            [
                f"spec.mutations: {REQUIRED}: mutations must contain at least one item",
                f"spec.reinvocationPolicy: {REQUIRED}",
            ],
        ),
        (
            mutating(matchConstraints={"resourceRules": [RULE | {"operations": ["DELETE"]}]}),
            [
                'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", '
                '"CONNECT", "CREATE", "UPDATE"'
            ],
        ),
        (
            mutating(mutations=[{}, {"patchType": "JSONPatch", "applyConfiguration": {}}, {"patchType": "x"}]),
            [
                f"spec.mutations[0].patchType: {REQUIRED}",
                f"spec.mutations[1].jsonPatch: {REQUIRED}: must be specified when patchType is JSONPatch",
                'spec.mutations[1].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified '
                "when patchType is JSONPatch",
                'spec.mutations[2].patchType: Unsupported value: "x": supported values: "ApplyConfiguration", '
                '"JSONPatch"',
            ],
        ),
    ],
)
def test_a_mutating_policy_has_patches_of_their_types(policy: Object, expected: list[str]) -> None:
    """A patch without its expression would change nothing; a deleted object cannot be changed."""
    assert problems(MUTATING, policy) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"validationActions": ["Audit"]}, []),
        ({}, [f"spec.validationActions: {REQUIRED}"]),
        (
            {"validationActions": ["Deny", "Warn", "Deny"]},
            [
                'spec.validationActions[2]: Duplicate value: "Deny"',
                f'spec.validationActions: Invalid value: ["Deny","Warn","Deny"]: {SAID_TWICE}',
            ],
        ),
        (
            {"validationActions": ["Deny"], "paramRef": {"name": "a", "selector": {}}},
            [
                f"spec.paramRef.name: Forbidden: {ONE_OF_BOTH}",
                f"spec.paramRef.selector: Forbidden: {ONE_OF_BOTH}",
                f"spec.paramRef.parameterNotFoundAction: {REQUIRED}",
            ],
        ),
        (
            {"validationActions": ["Deny"], "paramRef": {"parameterNotFoundAction": "Allow"}},
            [f"spec.paramRef: {REQUIRED}: one of name or selector must be specified"],
        ),
    ],
)
def test_a_binding_says_what_follows_and_with_which_parameters(fields: Object, expected: list[str]) -> None:
    """Refusing and warning of the same is one too many; parameters are named or selected."""
    found = problems("ValidatingAdmissionPolicyBinding", {"spec": {"policyName": "a", **fields}})
    assert sorted(found) == sorted(expected)


def test_a_binding_names_its_policy() -> None:
    """Without one there is nothing to bind."""
    assert problems("MutatingAdmissionPolicyBinding", {"spec": {}}) == [f"spec.policyName: {REQUIRED}"]


@pytest.mark.parametrize(("kind", "policy"), [(VALIDATING, validating()), (MUTATING, mutating())])
def test_names_of_files_on_the_server_are_kept(kind: str, policy: Object) -> None:
    """They would be taken for what an administrator has configured; one that is there may be updated."""
    name = "a.static.k8s.io"
    assert problems(kind, policy, name=name) == [f'metadata.name: Invalid value: "{name}": {NAME_IS_KEPT}']
    changed = copy_object(policy)
    changed["spec"]["failurePolicy"] = "Ignore"
    assert problems(kind, changed, policy, name=name) == []


def test_conditions_that_were_accepted_stay_so() -> None:
    """An update of something else does not meet a rule that has become stricter."""
    conditions = [{"name": "a b", "expression": "true"}]
    old, new = validating(matchConditions=conditions), validating(matchConditions=conditions, failurePolicy="Ignore")
    assert problems(VALIDATING, new, old) == []
    new["spec"]["matchConditions"] = [{"name": "b c", "expression": "true"}]
    assert len(problems(VALIDATING, new, old)) == 1
