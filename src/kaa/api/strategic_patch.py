"""Strategic merge patch: a merge patch that knows, from the object's type, which lists are merged by a key.

Beside the values a patch holds directives:

    $patch: replace | delete | merge      in a map, or in an item of a merged list
    $retainKeys: [a, b]                   the map keeps only these keys
    $setElementOrder/containers: [...]    the order of a merged list's items
    $deleteFromPrimitiveList/finalizers   values to take out of a merged list of scalars

A merged list has the patch's items in the patch's order, and the others where they were among them. Facts come from
`schema.py`: `strategy=merge` says that a list is merged, `merge=name` by which key (none: a set of scalars).
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cache
from typing import Any

from kaa.api.errors import bad_request
from kaa.api.schema import Definition, Field, builtin_schema, element_of

PATCH, RETAIN_KEYS = "$patch", "$retainKeys"
ORDER, DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"

JSONMap = dict[str, Any]


def strategic_merge(original: JSONMap, patch: JSONMap, definition: Definition | None) -> JSONMap:
    """The merged object. `definition` None is of a map without a type: it has no merged lists. Raises BadRequest."""
    fields: Mapping[str, Field] = definition.fields if definition is not None else {}
    if any(key.startswith("$") for key in patch):
        return _merge_directed(original, patch, fields)
    merged = dict(original)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged_value(merged.get(key), value, fields.get(key))
    return merged


def _merge_directed(original: JSONMap, patch: JSONMap, fields: Mapping[str, Field]) -> JSONMap:
    """The same for a patch with directives."""
    match patch.get(PATCH):
        case None | "merge":
            pass
        case "replace":
            return {key: _plain(value) for key, value in patch.items() if key != PATCH}
        case "delete":
            return {}
        case other:
            raise bad_request(f"unknown patch type: {other} in map: {patch}")
    merged = _retained(original, patch)
    scalar_of = _key_of("")
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            name = key.removeprefix(DELETE_FROM)
            if name in merged:
                taken = {scalar_of(item) for item in _list(value, key)}
                merged[name] = [item for item in _list(merged[name], key) if scalar_of(item) not in taken]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged_value(merged.get(key), value, fields.get(key))
    for key, value in patch.items():
        if key.startswith(ORDER):
            name = key.removeprefix(ORDER)
            if isinstance(merged.get(name), list):
                field = fields.get(name)
                by_key = _key_of(field.merge if field else "")
                merged[name] = _ordered(merged[name], _list(value, key), original.get(name) or [], by_key)
    return merged


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise bad_request(f"expecting list for {key}")
    return value


def _retained(original: JSONMap, patch: JSONMap) -> JSONMap:
    if RETAIN_KEYS not in patch:
        return dict(original)
    keep = _list(patch[RETAIN_KEYS], RETAIN_KEYS)
    unnamed = [key for key, value in patch.items() if not key.startswith("$") and value is not None and key not in keep]
    if unnamed:
        raise bad_request(f"the patch sets {', '.join(sorted(unnamed))}, which its {RETAIN_KEYS} list does not have")
    return {key: value for key, value in original.items() if key in keep}


def _merged_value(original: Any, value: Any, field: Field | None) -> Any:
    strategy = field.strategy if field else ()
    if isinstance(value, dict) and isinstance(original, dict) and "replace" not in strategy:
        return strategic_merge(original, value, _type_of(field))
    if isinstance(value, list) and isinstance(original, list) and field is not None and "merge" in strategy:
        if field.merge:
            return _merged_maps(original, value, field)
        return _merged_scalars(original, value)
    return _plain(value)


def _type_of(field: Field | None) -> Definition | None:
    """The type of the maps in a field, when they have one: a map of strings has none."""
    return None if field is None else _definition(field.type)


@cache
def _definition(type_: str) -> Definition | None:
    """The definition that a field's type, one of the schema's, is about."""
    element = element_of(type_)
    if type_.startswith("map[") or not builtin_schema().is_type(element):
        return None
    return builtin_schema().definition(element)


def _merged_maps(original: list[Any], patch: list[Any], field: Field) -> list[Any]:
    """Items with the same key are merged, new ones added; `$patch: delete` takes out, `replace` takes the list over."""
    if not all(isinstance(item, dict) for item in patch):
        raise bad_request(f"expecting a list of maps for {field.name}")
    if any(item.get(PATCH) == "replace" for item in patch):
        return [_plain(item) for item in patch if item.get(PATCH) != "replace"]
    key_of = _key_of(field.merge)
    deleted = {key_of(item) for item in patch if item.get(PATCH) == "delete"}
    original = [item for item in original if key_of(item) not in deleted]
    patch = [item for item in patch if item.get(PATCH) != "delete"]
    merged = list(original)
    places = _places(key_of(item) for item in merged)
    for item in patch:
        at = places.setdefault(key_of(item), len(merged))
        if at == len(merged):
            merged.append(_plain(item))
        else:
            merged[at] = strategic_merge(merged[at], item, _type_of(field))
    return _ordered(merged, patch, original, key_of)


def _merged_scalars(original: list[Any], patch: list[Any]) -> list[Any]:
    key_of = _key_of("")
    unique = {key_of(item): item for item in [*patch, *original]}
    places = _places(key_of(item) for item in [*original, *patch])
    return _ordered([unique[key] for key in places], patch, original, key_of)


def _key_of(merge_key: str) -> Callable[[Any], Hashable]:
    """What tells items apart: the value under the merge key, or a scalar itself. Large lists are looked up by it."""

    def key_of(item: Any) -> Hashable:
        if merge_key:
            if not isinstance(item, dict) or merge_key not in item:
                raise bad_request(f"map: {item} does not contain declared merge key: {merge_key}")
            item = item[merge_key]
        return str(item) if isinstance(item, (dict, list)) else item

    return key_of


def _places(keys: Iterable[Hashable]) -> dict[Hashable, int]:
    """Where each key comes first."""
    places: dict[Hashable, int] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, place)
    return places


def _ordered(items: list[Any], order: list[Any], before: list[Any], key_of: Callable[[Any], Hashable]) -> list[Any]:
    """Items that `order` names, in its order; each of the others goes before the first one that it was before."""
    wanted = _places(key_of(item) for item in order)
    earlier = _places(key_of(item) for item in before)
    last = len(before)
    named = sorted((item for item in items if key_of(item) in wanted), key=lambda item: wanted[key_of(item)])
    others = deque(
        sorted((item for item in items if key_of(item) not in wanted), key=lambda item: earlier.get(key_of(item), last))
    )
    out: list[Any] = []
    for item in named:
        position = earlier.get(key_of(item), -1)
        while others and earlier.get(key_of(others[0]), last) < position:
            out.append(others.popleft())
        out.append(item)
    return [*out, *others]


def _plain(value: Any) -> Any:
    """A patch's value where there is nothing to merge it with: without directives, nulls and items to delete."""
    if isinstance(value, list):
        return [_plain(item) for item in value if not (isinstance(item, dict) and item.get(PATCH) == "delete")]
    if isinstance(value, dict):
        return {
            key: _plain(item) if isinstance(item, (dict, list)) else item
            for key, item in value.items()
            if item is not None and not key.startswith("$")
        }
    return value
