"""The rules for metadata, the same for every kind but for what a name may look like."""

from functools import lru_cache
from typing import Any

from kaa.api.errors import FieldError
from kaa.api.labels import label_key_problems, label_value_problems
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.api.validation.fields import forbidden, invalid, required, too_long
from kaa.api.validation.names import dns_label, dns_subdomain, qualified_name
from kaa.api.validation.walker import Errors

ANNOTATIONS_LIMIT_BYTES = 256 * 1024
NOTHING: Object = {}
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


def validate_metadata(resource: Resource, new: Object, old: Object | None) -> Errors:
    """What an update leaves as it was is not judged again."""
    metadata = new["metadata"]
    before = old["metadata"] if old is not None else NOTHING
    errors: Errors = []
    if old is None:
        check_name(resource, metadata, errors)
        check_namespace(resource, metadata, errors)
        check_finalizers(metadata.get("finalizers") or [], errors)
    elif before.get("deletionTimestamp"):
        check_no_new_finalizers(metadata, before, errors)
    labels = metadata.get("labels")
    if labels and labels != before.get("labels"):
        check_labels(labels, "metadata.labels", errors)
    annotations = metadata.get("annotations")
    if annotations and annotations != before.get("annotations"):
        check_annotations(annotations, "metadata.annotations", errors)
    references = metadata.get("ownerReferences")
    if references and references != before.get("ownerReferences"):
        check_owner_references(references, errors)
    return errors


def check_name(resource: Resource, metadata: Object, errors: Errors) -> None:
    rule = resource.name_rule or dns_subdomain
    prefix = metadata.get("generateName")
    if prefix:
        # A trailing dash is fine in a prefix: the random end follows it.
        whole = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
        errors += [invalid("metadata.generateName", prefix, problem) for problem in rule(whole)]
    name = metadata.get("name")
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += [invalid("metadata.name", name, problem) for problem in rule(name)]


def check_namespace(resource: Resource, metadata: Object, errors: Errors) -> None:
    namespace = metadata.get("namespace")
    if not resource.namespaced:
        if namespace:
            errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    elif not namespace:
        errors.append(required("metadata.namespace"))
    else:
        errors += [invalid("metadata.namespace", namespace, problem) for problem in _namespace_problems(namespace)]


@lru_cache(maxsize=2048)
def _label_problems(key: str, value: str) -> tuple[tuple[str, str], ...]:
    """(bad value, what is wrong). The same few labels are on every object."""
    keys = [(key, problem) for problem in label_key_problems(key)]
    return (*keys, *((value, problem) for problem in label_value_problems(value)))


@lru_cache(maxsize=1024)
def _namespace_problems(namespace: str) -> tuple[str, ...]:
    return tuple(dns_label(namespace))


@lru_cache(maxsize=1024)
def _annotation_key_problems(key: str) -> tuple[str, ...]:
    return tuple(qualified_name(key.lower()))


def check_labels(labels: dict[str, str], path: str, errors: Errors) -> None:
    for key, value in labels.items():
        for bad, problem in _label_problems(key, value):
            errors.append(invalid(path, bad, problem))


def check_annotations(annotations: dict[str, str], path: str, errors: Errors) -> None:
    size = 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        for problem in _annotation_key_problems(key):
            errors.append(invalid(path, key, problem))
    if size > ANNOTATIONS_LIMIT_BYTES:
        errors.append(too_long(path, ANNOTATIONS_LIMIT_BYTES))


def check_owner_references(references: list[Object], errors: Errors) -> None:
    path = "metadata.ownerReferences"
    controller = ""
    for i, reference in enumerate(references):
        errors += [
            required(f"{path}[{i}].{field}", "must not be empty")
            for field in ("apiVersion", "kind", "name", "uid")
            if not reference.get(field)
        ]
        api_version = reference.get("apiVersion") or ""
        if api_version.count("/") > 1 or api_version.endswith("/"):
            error = invalid(f"{path}[{i}].apiVersion", api_version, "must be <group>/<version> or <version>")
            errors.append(error)
        if (api_version, reference.get("kind")) == ("v1", "Event"):
            errors.append(invalid(f"{path}[{i}]", reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            name = f"{reference.get('kind')}/{reference.get('name')}"
            if controller:
                errors.append(_two_controllers(references, controller, name))
            controller = controller or name


def _two_controllers(references: list[Object], first: str, second: str) -> FieldError:
    detail = f'Only one reference can have Controller set to true. Found "true" in references for {first} and {second}'
    return invalid("metadata.ownerReferences", references, detail)


def check_finalizers(finalizers: list[str], errors: Errors) -> None:
    for finalizer in finalizers:
        errors += [invalid("metadata.finalizers", finalizer, problem) for problem in qualified_name(finalizer)]
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        detail = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        errors.append(invalid("metadata.finalizers", finalizers, detail))


def check_no_new_finalizers(metadata: Object, old: Object, errors: Errors) -> None:
    added = sorted(set(metadata.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if added:
        listed = ", ".join(f'"{finalizer}"' for finalizer in added)
        detail = (
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
        )
        errors.append(forbidden("metadata.finalizers", detail))


def check_selector(selector: Any, path: str, errors: Errors) -> None:
    """A LabelSelector."""
    check_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels", errors)
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        _check_expression(expression, f"{path}.matchExpressions[{i}]", errors)


def _check_expression(expression: Object, path: str, errors: Errors) -> None:
    operator, values = expression.get("operator"), expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", detail))
    else:
        errors.append(invalid(f"{path}.operator", operator or "", "not a valid selector operator"))
    key = expression.get("key") or ""
    errors += [invalid(f"{path}.key", key, problem) for problem in label_key_problems(key)]
    for i, value in enumerate(values):
        errors += [invalid(f"{path}.values[{i}]", value, problem) for problem in label_value_problems(value)]


def check_template_metadata(metadata: Any, path: str, errors: Errors) -> None:
    """The labels and annotations that a template gives to what is made from it."""
    check_labels(metadata.get("labels") or {}, f"{path}.labels", errors)
    check_annotations(metadata.get("annotations") or {}, f"{path}.annotations", errors)
