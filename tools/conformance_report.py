"""Keeps the table of upstream's conformance suite: which file's specs pass, and why the others do not.

    conformance_report.py REPORT.JSON DOCUMENT --revision REVISION

REPORT.JSON is ginkgo's, of one run; DOCUMENT the Markdown page with the results of all runs. A run replaces the rows of
those files whose conformance specs it has all chosen; other rows stay as they are, each with its own date. What people
have written under `## Notes`, at the page's end, stays too.
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUITE = "Kubernetes v1.37.2"
REASON_CHARACTERS = 240
"""How much of a failure's message the page shows."""

HEAD = """# Conformance

The conformance specs of upstream's published end-to-end suite ({suite}), by the file that defines them. `make
conformance` writes this page: each row is from the last run of all the specs of its file, at the date and the revision
of Kaa that it names.

**{passed} of {total} pass.**

| file | passed | failed | skipped | date | revision |
|---|---:|---:|---:|---|---|
"""
ROW = re.compile(r"\| (\S+\.go) \| (\d+) \| (\d+) \| (\d+) \| (\S+) \| (\S+) \|")
FAILURE = re.compile(r"- `(\S+\.go)` (.*)")

NOTES = "\n## Notes\n"

Spec = dict[str, Any]


@dataclass
class Result:
    """What one file's specs came to. `failures` has a line for each that failed: its name and the reason."""

    file: str
    date: str
    revision: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, spec: Spec) -> None:
        if spec["State"] == "passed":
            self.passed += 1
        elif spec["State"] == "skipped":
            self.skipped += 1
        else:
            self.failed += 1
            self.failures.append(f"{name_of(spec)}: {reason_of(spec)}")


def name_of(spec: Spec) -> str:
    return " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]])


def reason_of(spec: Spec) -> str:
    message = " ".join(spec.get("Failure", {}).get("Message", "").split())
    return message[:REASON_CHARACTERS].rstrip() or spec["State"]


def file_of(spec: Spec) -> str:
    return re.sub(r".*/test/e2e/", "", spec["LeafNodeLocation"]["FileName"])


def is_conformance(spec: Spec) -> bool:
    labels = [
        *(spec.get("LeafNodeLabels") or []),
        *(label for labels in spec.get("ContainerHierarchyLabels") or [] for label in labels or []),
    ]
    return spec["LeafNodeType"] == "It" and "Conformance" in labels


def has_run(spec: Spec) -> bool:
    """A spec that skips itself says why; one that was not chosen is skipped too, without a word."""
    if spec["State"] == "skipped":
        return bool(spec.get("Failure", {}).get("Message"))
    return bool(spec["State"] != "pending")


def results_of(report: list[dict[str, Any]], revision: str) -> Iterator[Result]:
    """One result for each file whose conformance specs were all run."""
    for suite in report:
        files: dict[str, list[Spec]] = {}
        for spec in suite["SpecReports"] or []:
            if is_conformance(spec):
                files.setdefault(file_of(spec), []).append(spec)
        for file, specs in files.items():
            if all(has_run(spec) for spec in specs):
                result = Result(file, suite["EndTime"][:10], revision)
                for spec in specs:
                    result.add(spec)
                yield result


def parse(document: str) -> Iterator[Result]:
    """The results that a page holds already."""
    document = document.partition(NOTES)[0]
    failures: dict[str, list[str]] = {}
    for file, text in FAILURE.findall(document):
        failures.setdefault(file, []).append(text)
    for file, passed, failed, skipped, date, revision in ROW.findall(document):
        yield Result(file, date, revision, int(passed), int(failed), int(skipped), failures.get(file, []))


def notes_of(document: str) -> str:
    """The end of a page that was written by hand, with its heading; "" if there is none."""
    _, heading, text = document.partition(NOTES)
    return heading + text


def render(results: Iterable[Result], notes: str = "") -> str:
    ordered = sorted(results, key=lambda result: result.file)
    passed = sum(result.passed for result in ordered)
    total = passed + sum(result.failed for result in ordered)
    page = HEAD.format(suite=SUITE, passed=passed, total=total)
    for r in ordered:
        page += f"| {r.file} | {r.passed} | {r.failed} | {r.skipped} | {r.date} | {r.revision} |\n"
    lines = [f"- `{result.file}` {text}\n" for result in ordered for text in result.failures]
    return page + ("\n## What does not pass\n\n" + "".join(lines) if lines else "") + notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("document", type=Path)
    parser.add_argument("--revision", required=True, help="of Kaa, as the page should name it")
    given = parser.parse_args()
    document = given.document.read_text() if given.document.exists() else ""
    results = {result.file: result for result in parse(document)}
    for result in results_of(json.loads(given.report.read_text()), given.revision):
        results[result.file] = result
    given.document.write_text(render(results.values(), notes_of(document)))


if __name__ == "__main__":
    main()
