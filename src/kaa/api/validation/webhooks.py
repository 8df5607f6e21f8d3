"""Rules for webhook configurations: whom to ask about which requests, and how."""

from typing import Any
from urllib.parse import urlsplit

from kaa.api.validation.fields import duplicate, invalid, not_supported, required
from kaa.api.validation.metadata import check_selector
from kaa.api.validation.names import between, dns_label, dns_subdomain
from kaa.api.validation.walker import Errors, compile_rules, one_of

REVIEW_VERSIONS = ("v1", "v1beta1")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
MIN_SEGMENTS = 3
MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS = 1, 30
URL_FORM = "; desired format: https://host[/path]"


def name_of_webhook(webhook: Any, path: str, errors: Errors) -> None:
    """It is named like a host of somebody's."""
    value, path = webhook.get("name"), f"{path}.name"
    if not value:
        errors.append(required(path))
    elif problems := dns_subdomain(value):
        errors.append(invalid(path, value, ",".join(problems)))
    elif value.count(".") + 1 < MIN_SEGMENTS:
        errors.append(invalid(path, value, "should be a domain with at least three segments separated by dots"))


def web_address(value: str, path: str, errors: Errors) -> None:
    try:
        parts = urlsplit(value)
    except ValueError as error:
        errors.append(required(path, f"url must be a valid URL: {error}{URL_FORM}"))
        return
    if parts.scheme != "https":
        errors.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{URL_FORM}"))
    if not parts.netloc.rpartition("@")[2]:
        errors.append(invalid(path, "", f"host must be specified{URL_FORM}"))
    if "@" in parts.netloc:
        why = "user information is not permitted in the URL"
        errors.append(invalid(path, parts.netloc.rpartition("@")[0], why))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))


def service_reference(service: Any, path: str, errors: Errors) -> None:
    errors += [required(f"{path}.{field}") for field in ("name", "namespace") if not service.get(field)]
    port, place = service.get("port"), service.get("path") or "/"
    if port is not None and not 1 <= port <= 65535:
        errors.append(invalid(f"{path}.port", port, f"port is not valid: {between(1, 65535)}"))
    if place == "/":
        return
    if place == "//":
        errors.append(invalid(f"{path}.path", place, "segment[0] may not be empty"))
        return
    if not place.startswith("/"):
        errors.append(invalid(f"{path}.path", place, "must start with a '/'"))
    for i, segment in enumerate(place[1:].removesuffix("/").split("/")):
        problems = [f": {problem}" for problem in dns_subdomain(segment)] if segment else [" may not be empty"]
        errors += [invalid(f"{path}.path", place, f"segment[{i}]{problem}") for problem in problems]


def where_to_ask(webhook: Any, path: str, errors: Errors) -> None:
    config, path = webhook.get("clientConfig") or {}, f"{path}.clientConfig"
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.append(required(path, "exactly one of url or service is required"))
    elif url is not None:
        web_address(url, f"{path}.url", errors)
    else:
        service_reference(service, f"{path}.service", errors)


def alone(values: Any, what: str, path: str, errors: Errors) -> None:
    """ "*" stands for all, and so by itself."""
    if len(values or ()) > 1 and "*" in values:
        errors.append(invalid(path, values, f"if '*' is present, must not specify other {what}"))


def resources(rule: Any, path: str, errors: Errors) -> None:
    """No two of them name the same subresource."""
    given, path = rule.get("resources") or [], f"{path}.resources"
    if not given:
        errors.append(required(path))
    all_of: set[str] = set()  # resources with all their subresources
    everywhere: set[str] = set()  # subresources of all resources
    for i, named in enumerate(given):
        resource, slash, subresource = named.partition("/")
        if not named:
            errors.append(required(f"{path}[{i}]"))
        if not slash:
            continue
        if resource in all_of:
            errors.append(invalid(f"{path}[{i}]", named, f"if '{resource}/*' is present, must not specify {named}"))
        if subresource in everywhere:
            errors.append(invalid(f"{path}[{i}]", named, f"if '*/{subresource}' is present, must not specify {named}"))
        if subresource == "*":
            all_of.add(resource)
        if resource == "*":
            everywhere.add(subresource)
    if len(given) > 1 and "*/*" in given:
        errors.append(invalid(path, given, "if '*/*' is present, must not specify other resources"))
    plain = [named for named in given if "/" not in named]
    if "*" in plain and plain[-1] != "*":
        why = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, given, why))


def rule_with_operations(rule: Any, path: str, errors: Errors) -> None:
    operations = rule.get("operations") or []
    if not operations:
        errors.append(required(f"{path}.operations"))
    alone(operations, "operations", f"{path}.operations", errors)
    for i, operation in enumerate(operations):
        if operation not in OPERATIONS:
            errors.append(not_supported(f"{path}.operations[{i}]", operation, OPERATIONS))
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        if not rule.get(field):
            errors.append(required(f"{path}.{field}"))
        alone(rule.get(field), what, f"{path}.{field}", errors)
    for i, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            errors.append(required(f"{path}.apiVersions[{i}]"))
    resources(rule, path, errors)
    if rule.get("scope") and rule["scope"] not in SCOPES:
        errors.append(not_supported(f"{path}.scope", rule["scope"], SCOPES))


def side_effects(webhook: Any, path: str, errors: Errors) -> None:
    given = webhook.get("sideEffects")
    if given is None:
        errors.append(required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}"))
    elif given not in SIDE_EFFECTS:
        errors.append(not_supported(f"{path}.sideEffects", given, SIDE_EFFECTS))


def timeout(value: Any, path: str, errors: Errors) -> None:
    if not MIN_TIMEOUT_SECONDS <= value <= MAX_TIMEOUT_SECONDS:
        errors.append(invalid(path, value, "the timeout value must be between 1 and 30 seconds"))


def review_versions(webhook: Any, path: str, errors: Errors) -> None:
    versions, path = webhook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions"
    known = ", ".join(REVIEW_VERSIONS)
    if not versions:
        errors.append(required(path, f"must specify one of {known}"))
        return
    for i, version in enumerate(versions):
        if version in versions[:i]:
            errors.append(invalid(f"{path}[{i}]", version, "duplicate version"))
        else:
            errors += [invalid(f"{path}[{i}]", version, problem) for problem in dns_label(version)]
    if not set(versions) & set(REVIEW_VERSIONS):
        errors.append(invalid(path, versions, f"must include at least one of {known}"))


def names_differ(configuration: Any, path: str, errors: Errors) -> None:
    seen = set()
    for i, webhook in enumerate(configuration.get("webhooks") or ()):
        name = webhook.get("name")
        if name and name in seen:
            errors.append(duplicate(f"webhooks[{i}].name", name))
        seen.add(name)


WEBHOOK = (
    compile_rules(
        {
            "": name_of_webhook,
            "rules[]": rule_with_operations,
            "failurePolicy": one_of("Fail", "Ignore"),
            "matchPolicy": one_of("Equivalent", "Exact"),
        }
    ),
    compile_rules(
        {
            "": side_effects,
            "timeoutSeconds": timeout,
            "namespaceSelector": {"": check_selector},
            "objectSelector": {"": check_selector},
            "reinvocationPolicy": one_of("IfNeeded", "Never"),
        }
    ),
    where_to_ask,
    review_versions,
)
"""In upstream's order."""

WEBHOOK_CONFIGURATION = compile_rules({"webhooks[]": WEBHOOK, "": names_differ}, root=True)
