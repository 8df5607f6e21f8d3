"""The page of conformance results is put together from runs of some files at a time."""

from typing import Any

from tools.conformance_report import notes_of, parse, render, results_of


def spec(
    file: str, name: str, state: str, message: str = "", labels: tuple[str, ...] = ("Conformance",)
) -> dict[str, Any]:
    return {
        "LeafNodeType": "It",
        "LeafNodeText": name,
        "LeafNodeLabels": list(labels),
        "ContainerHierarchyTexts": ["[sig-apps] Thing"],
        "ContainerHierarchyLabels": [["sig-apps"], None],
        "LeafNodeLocation": {"FileName": f"k8s.io/kubernetes/test/e2e/{file}"},
        "State": state,
        **({"Failure": {"Message": message}} if message else {}),
    }


def report(*specs: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"EndTime": "2030-01-02T03:04:05Z", "SpecReports": list(specs)}]


def test_a_row_counts_what_was_run() -> None:
    """A spec may skip itself; one that fails or times out is named with its reason, on one line."""
    found = list(
        results_of(
            report(
                spec("apps/a.go", "one", "passed"),
                spec("apps/a.go", "two", "skipped", "needs two nodes"),
                spec("apps/a.go", "three", "timedout", "waited\n  too long"),
                spec("apps/a.go", "no conformance", "failed", labels=()),
            ),
            "abc",
        )
    )
    assert [(r.file, r.passed, r.failed, r.skipped, r.date, r.revision) for r in found] == [
        ("apps/a.go", 1, 1, 1, "2030-01-02", "abc")
    ]
    assert found[0].failures == ["[sig-apps] Thing three: waited too long"]


def test_a_file_that_was_run_in_part_has_no_row() -> None:
    """Else a run with a focus would hide what failed before."""
    partly = report(spec("apps/a.go", "one", "passed"), spec("apps/a.go", "two", "skipped"))
    assert list(results_of(partly, "abc")) == []


def test_a_page_can_be_read_back() -> None:
    """A later run of other files keeps the rows and reasons that are there."""
    results = list(
        results_of(
            report(spec("apps/b.go", "x", "failed", "why | `how`"), spec("apps/a.go", "y", "passed")), "abc-dirty"
        )
    )
    page = render(results)
    assert "**1 of 2 pass.**" in page
    assert render(parse(page)) == page
    assert sorted(parse(page), key=lambda r: r.file) == sorted(results, key=lambda r: r.file)


def test_what_people_have_noted_stays() -> None:
    """Why something does not pass, where the reason that the suite gives does not say it."""
    notes = "\n## Notes\n\n- `apps/a.go` needs two nodes.\n"
    for state in ("passed", "failed"):
        page = render(results_of(report(spec("apps/a.go", "y", state)), "abc"), notes)
        assert notes_of(page) == notes
        assert render(parse(page), notes_of(page)) == page
