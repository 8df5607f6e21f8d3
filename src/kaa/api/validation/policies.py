"""Rules for admission policies, which judge or change requests by CEL expressions, and for what binds them.

A policy says which requests it is about (`matchConstraints`, `matchConditions`) and what it does with them; a binding
puts it to work, with parameters. Expressions are not compiled here: one that is not CEL, or does not fit its object,
is stored, and fails when it is evaluated.
"""

import re
from typing import Any

from kaa.api.objects import Object
from kaa.api.validation.fields import duplicate, forbidden, invalid, not_supported, required, too_many
from kaa.api.validation.metadata import check_selector
from kaa.api.validation.names import dns_1035_label, dns_subdomain, path_segment, qualified_name
from kaa.api.validation.walker import REQUIRED, Errors, at, compile_rules, errors_of, one_of, valid
from kaa.api.validation.webhooks import rule_with_operations

MAX_MATCH_CONDITIONS = 64
MAX_AUDIT_ANNOTATIONS = 20
MAX_VALUE_EXPRESSION_BYTES = 5 * 1024
ACTIONS = ("Audit", "Deny", "Warn")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
MUTABLE_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
"""The type of a patch, and the field that holds it."""

STATIC_SUFFIX = ".static.k8s.io"
NAME_IS_KEPT = (
    f'names ending with "{STATIC_SUFFIX}" are reserved for static manifest-based configurations and cannot be managed '
    "via the API"
)
NOTHING_TO_DO = "validations or auditAnnotations must contain at least one item"
ONE_OF_BOTH = "name and selector are mutually exclusive"
SAID_TWICE = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)

_identifier = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
WORDS = ("true", "false", "null", "in")
KEPT_STATEMENTS = ("break", "continue", "else", "for", "if", "loop", "return", "while")
KEPT_DECLARATIONS = ("as", "const", "function", "import", "let", "namespace", "package", "var", "void")
RESERVED = frozenset((*WORDS, *KEPT_STATEMENTS, *KEPT_DECLARATIONS))
"""Words of CEL, and those that it keeps for itself."""


def cel_identifier(value: str) -> list[str]:
    is_one = _identifier.fullmatch(value) and value not in RESERVED
    return [] if is_one else ["must be a valid CEL identifier"]


def written(value: Any) -> bool:
    """Whether somebody has written more than blanks."""
    return bool(value and value.strip())


def expression(detail: str = "", field: str = "expression") -> Any:
    """The object has an expression."""

    def check(obj: Any, path: str, errors: Errors) -> None:
        if not written(obj.get(field)):
            errors.append(required(f"{path}.{field}", detail))

    return check


# Which requests.


def param_kind(kind: Any, path: str, errors: Errors) -> None:
    version_path, kind_path = f"{path}.apiVersion", f"{path}.kind"
    api_version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not api_version:
        errors.append(required(version_path))
    elif api_version.count("/") > 1:
        why = f"unexpected GroupVersion string: {api_version}"
        errors.append(invalid(version_path, api_version, why))
    else:
        group, _, version = api_version.rpartition("/")
        if group and (problems := dns_subdomain(group)):
            errors.append(invalid(version_path, group, ",".join(problems)))
        if not version:
            errors.append(invalid(version_path, api_version, "version must be specified"))
        elif problems := dns_1035_label(version):
            errors.append(invalid(version_path, version, ",".join(problems)))
    if not name:
        errors.append(required(kind_path))
    elif problems := dns_1035_label(name.lower()):
        why = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        errors.append(invalid(kind_path, name, why))


def resource_names(rule: Any, path: str, errors: Errors) -> None:
    names = rule.get("resourceNames") or ()
    for i, name in enumerate(names):
        place = f"{path}.resourceNames[{i}]"
        errors += [invalid(place, name, problem) for problem in path_segment(name)]
        if name in names[:i]:
            errors.append(duplicate(place, name))


NAMED_RULE = (resource_names, rule_with_operations)

MATCH_RESOURCES = {
    "matchPolicy": (REQUIRED, one_of("Equivalent", "Exact")),
    "namespaceSelector": {"": check_selector},
    "objectSelector": {"": check_selector},
    "resourceRules[]": NAMED_RULE,
    "excludeResourceRules[]": NAMED_RULE,
}


def needs_constraints(spec: Any, path: str, errors: Errors) -> None:
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.append(required(f"{path}.matchConstraints"))
    elif not constraints.get("resourceRules"):
        errors.append(required(f"{path}.matchConstraints.resourceRules"))


def only_mutable(field: str) -> Any:
    """What is deleted cannot be changed."""

    def check(spec: Any, path: str, errors: Errors) -> None:
        for rule in (spec.get(field) or {}).get("resourceRules") or ():
            for operation in rule.get("operations") or ():
                if operation not in MUTABLE_OPERATIONS:
                    place = f"{path}.{field}.resourceRules.operations"
                    errors.append(not_supported(place, operation, MUTABLE_OPERATIONS))

    return check


MATCH_CONDITION = compile_rules({"": expression(), "name": (REQUIRED, valid(qualified_name))})


def match_conditions(conditions: Any, path: str) -> Errors:
    errors: Errors = []
    if len(conditions) > MAX_MATCH_CONDITIONS:
        errors.append(too_many(path, len(conditions), MAX_MATCH_CONDITIONS))
    seen = set()
    for i, condition in enumerate(conditions):
        MATCH_CONDITION(condition, f"{path}[{i}]", errors)
        name = condition.get("name")
        if name and name in seen:
            errors.append(duplicate(f"{path}[{i}].name", name))
        seen.add(name)
    return errors


CONSTRAINTS = {
    "failurePolicy": (REQUIRED, one_of("Fail", "Ignore")),
    "paramKind": {"": param_kind},
    "matchConstraints": MATCH_RESOURCES,
}


# What is done with them.


def variable(declared: Any, path: str, errors: Errors) -> None:
    name = declared.get("name")
    if not written(name):
        errors.append(required(f"{path}.name", "name is not specified"))
    else:
        errors += [invalid(f"{path}.name", name, problem) for problem in cel_identifier(name)]


VARIABLE = (variable, expression("expression is not specified"))


def validation_message(validation: Any, path: str, errors: Errors) -> None:
    for field in ("messageExpression", "message"):
        text = validation.get(field) or ""
        if text and not written(text):
            errors.append(invalid(f"{path}.{field}", text, "must be non-empty if specified"))
        elif field == "message" and re.search("[\n\r]", text.strip()):
            errors.append(invalid(f"{path}.message", text, "must not contain line breaks"))


VALIDATION = compile_rules(
    {"": (expression("expression is not specified"), validation_message), "reason": one_of(*REASONS)}
)


def judgements(policy: Object) -> Errors:
    """Of a validating policy: what it forbids, and what it writes to the audit log."""
    spec = policy.get("spec") or {}
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        return [required("spec.validations", NOTHING_TO_DO), required("spec.auditAnnotations", NOTHING_TO_DO)]
    errors: Errors = []
    for i, validation in enumerate(validations):
        VALIDATION(validation, f"spec.validations[{i}]", errors)
    if len(annotations) > MAX_AUDIT_ANNOTATIONS:
        why = f"must not have more than {MAX_AUDIT_ANNOTATIONS} auditAnnotations"
        listed = [{name[0].upper() + name[1:]: value for name, value in each.items()} for each in annotations]
        errors.append(invalid("spec.auditAnnotations", listed, why))
    seen = set()
    for i, annotation in enumerate(annotations):
        key, path = annotation.get("key") or "", f"spec.auditAnnotations[{i}]"
        errors += audit_annotation(policy["metadata"].get("name") or "", annotation, path)
        if key in seen:
            errors.append(duplicate(f"{path}.key", key))
        seen.add(key)
    return errors


def audit_annotation(policy: str, annotation: Object, path: str) -> Errors:
    """In the log its key follows the policy's name."""
    key, value = annotation.get("key") or "", (annotation.get("valueExpression") or "").strip()
    whole = f"{policy}/{key}"
    errors = [invalid(f"{path}.key", whole, problem) for problem in qualified_name(whole)]
    if not value:
        errors.append(required(f"{path}.valueExpression", "valueExpression is not specified"))
    elif len(value.encode()) > MAX_VALUE_EXPRESSION_BYTES:
        why = f"must not exceed {MAX_VALUE_EXPRESSION_BYTES} bytes in length"
        errors.append(required(f"{path}.valueExpression", why))
    return errors


def mutation(change: Any, path: str, errors: Errors) -> None:
    """It has the patch of its type, and no other."""
    kind = change.get("patchType")
    if not kind:
        errors.append(required(f"{path}.patchType"))
        return
    if kind not in PATCHES:
        errors.append(not_supported(f"{path}.patchType", kind, PATCHES))
        return
    own = PATCHES[kind]
    if change.get(own) is None:
        errors.append(required(f"{path}.{own}", f"must be specified when patchType is {kind}"))
    elif not written(change[own].get("expression")):
        errors.append(required(f"{path}.{own}.expression"))
    for other in PATCHES.values():
        if other != own and change.get(other) is not None:
            why = f"must not be specified when patchType is {kind}"
            errors.append(invalid(f"{path}.{other}", f"{{{other}}}", why))


def has_mutations(spec: Any, path: str, errors: Errors) -> None:
    if not spec.get("mutations"):
        errors.append(required(f"{path}.mutations", "mutations must contain at least one item"))


VALIDATING_CONSTRAINTS = compile_rules({"spec": CONSTRAINTS | {"": needs_constraints}}, root=True)
MUTATING_CONSTRAINTS = compile_rules(
    {"spec": CONSTRAINTS | {"": (needs_constraints, only_mutable("matchConstraints"))}}, root=True
)
VARIABLES = compile_rules({"spec": {"variables[]": VARIABLE}}, root=True)
MUTATIONS = compile_rules(
    {
        "spec": {
            "": has_mutations,
            "mutations[]": mutation,
            "reinvocationPolicy": (REQUIRED, one_of("IfNeeded", "Never")),
        }
    },
    root=True,
)


def new_match_conditions(policy: Object, old: Object | None) -> Errors:
    """Those that were accepted once stay so."""
    judged = ("spec.paramKind", "spec.matchConditions")
    if old is not None and all(at(policy, path) == at(old, path) for path in judged):
        return []
    return match_conditions(at(policy, "spec.matchConditions") or (), "spec.matchConditions")


def kept_name(obj: Object, old: Object | None) -> Errors:
    """What is configured by files on the server has names of its own."""
    name = obj["metadata"].get("name") or ""
    return [invalid("metadata.name", name, NAME_IS_KEPT)] if old is None and name.endswith(STATIC_SUFFIX) else []


def validate_validating_policy(policy: Object, old: Object | None) -> Errors:
    return [
        *errors_of(VALIDATING_CONSTRAINTS, policy),
        *new_match_conditions(policy, old),
        *errors_of(VARIABLES, policy),
        *judgements(policy),
        *kept_name(policy, old),
    ]


def validate_mutating_policy(policy: Object, old: Object | None) -> Errors:
    return [
        *errors_of(MUTATING_CONSTRAINTS, policy),
        *new_match_conditions(policy, old),
        *errors_of(VARIABLES, policy),
        *errors_of(MUTATIONS, policy),
        *kept_name(policy, old),
    ]


# Bindings.


def param_reference(reference: Any, path: str, errors: Errors) -> None:
    name, selector = reference.get("name"), reference.get("selector")
    if name:
        errors += [invalid(f"{path}.name", name, problem) for problem in path_segment(name)]
    if selector is not None:
        check_selector(selector, f"{path}.selector", errors)
    if name and selector is not None:
        errors += [forbidden(f"{path}.{field}", ONE_OF_BOTH) for field in ("name", "selector")]
    if not name and selector is None:
        errors.append(required(path, "one of name or selector must be specified"))


def validation_actions(spec: Any, path: str, errors: Errors) -> None:
    actions, path = spec.get("validationActions") or (), f"{path}.validationActions"
    for i, action in enumerate(actions):
        if action not in ACTIONS:
            errors.append(not_supported(f"{path}[{i}]", action, ACTIONS))
        if action in actions[:i]:
            errors.append(duplicate(f"{path}[{i}]", action))
    if "Deny" in actions and "Warn" in actions:
        errors.append(invalid(path, actions, SAID_TWICE))
    if not actions:
        errors.append(required(path))


BINDING = {
    "policyName": (REQUIRED, valid(dns_subdomain)),
    "paramRef": {"": param_reference, "parameterNotFoundAction": (REQUIRED, one_of("Deny", "Allow"))},
    "matchResources": MATCH_RESOURCES,
}
VALIDATING_BINDING = compile_rules({"spec": BINDING | {"": validation_actions}}, root=True)
MUTATING_BINDING = compile_rules({"spec": BINDING | {"": only_mutable("matchResources")}}, root=True)


def validate_validating_binding(binding: Object, old: Object | None) -> Errors:
    return errors_of(VALIDATING_BINDING, binding) + kept_name(binding, old)


def validate_mutating_binding(binding: Object, old: Object | None) -> Errors:
    return errors_of(MUTATING_BINDING, binding) + kept_name(binding, old)
