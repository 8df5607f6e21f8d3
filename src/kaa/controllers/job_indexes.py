"""The completion indexes of an Indexed job: sets of small numbers, written as `0,3-5,7`.

Each index is to succeed once. A pod says which one is its own in an annotation; an index beyond `spec.completions`
counts for nothing. A success policy may call the job done when only some have succeeded.
"""

from collections.abc import Iterable, Set

from kaa.api.objects import Object, annotations_of

COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: Object) -> int | None:
    text = annotations_of(pod).get(COMPLETION_INDEX, "")
    return int(text) if text.isdecimal() else None


def valid_index_of(job: Object, pod: Object) -> int | None:
    """The pod's index if it is one of the job's."""
    index = index_of(pod)
    return index if index is not None and index < job["spec"]["completions"] else None


def parse_indexes(text: str) -> set[int]:
    indexes: set[int] = set()
    for interval in filter(None, text.split(",")):
        first, _, last = interval.partition("-")
        indexes.update(range(int(first), int(last or first) + 1))
    return indexes


def format_indexes(indexes: Iterable[int]) -> str:
    """Runs of two are written as `3,4`, longer ones as `3-5`: upstream's form."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(_interval(first, last) for first, last in runs)


def _interval(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def matched_success_rule(job: Object, succeeded: Set[int]) -> int | None:
    """The place of the first rule of `spec.successPolicy` that holds."""
    rules = (job["spec"].get("successPolicy") or {}).get("rules") or ()
    return next((place for place, rule in enumerate(rules) if _holds(rule, succeeded)), None)


def _holds(rule: Object, succeeded: Set[int]) -> bool:
    """`succeededCount` of `succeededIndexes`, where a missing one means "all of them" and "any" respectively."""
    among, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if among is None:
        return count is not None and len(succeeded) >= count
    wanted = parse_indexes(among)
    return len(wanted & succeeded) >= (len(wanted) if count is None else count)
