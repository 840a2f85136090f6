"""The doctor and the findings; the grader's answer; the report of the self-check."""

from __future__ import annotations

from ..explain.doctor.doctor import Doctor
from ..explain.doctor.finding import Finding
from ..testing.grading.report import Grade
from ..testing.selfcheck.report import CHECK_COLUMNS, SPEED_COLUMNS, Report
from .html import Html, code, element, facts, heading, join, paragraphs, shown, soft, table

FAILURES = 20
"""Failures of a self-check that are listed."""


def verdict(good: bool, text: object) -> Html:
    """Return a sign and a word in green or red; the sign serves readers who do not tell these apart."""
    return element("b", "✓ " if good else "✗ ", text, kind="green" if good else "red")


def finding_block(finding: Finding) -> Html:
    """Return a finding with its place, evidence and remedy."""
    times = f"step {finding.step:,}" + (f", seen in {finding.times:,} steps" if finding.times > 1 else "")
    parts: dict[str, object] = {
        name: code(text) if name == "where" else text for name, text in finding.parts().items()
    }
    if "remedy" in parts:
        parts["remedy"] = element("b", parts["remedy"])
    return join([
        element("p", element("b", finding.kind, kind="orange"), soft(f" · {times}")),
        element("p", finding.what), facts(parts),
    ])  # fmt: skip


def _doctor(doctor: Doctor) -> Html:
    summary = doctor.summary().removeprefix("doctor: ").splitlines()
    return join([
        heading("Doctor", summary[0]), *[element("p", line) for line in summary[1:] if line],
        *map(finding_block, doctor.findings),
    ])  # fmt: skip


def _grade(grade: Grade) -> Html:
    parts = [
        element(
            "p",
            element("b", grade.name),
            ": ",
            verdict(grade.passed, "right" if grade.passed else "not right yet"),
        )
    ]
    for finding in grade.findings:
        parts.append(element("p", element("b", finding.where), ": ", finding.sentence))
        if finding.evidence:
            parts.append(element("pre", finding.evidence))
    if grade.checked:
        parts.append(paragraphs("Checked:" if grade.passed else "Besides, this was checked:"))
        parts.append(element("ul", *[element("li", soft(text)) for text in grade.checked]))
    parts.append(paragraphs(grade.mutants_sentence()))
    return join(parts)


def _report(report: Report) -> Html:
    checks = [
        (name, verdict(result == "ok", result) if result != "left out" else soft(result), *others)
        for name, result, *others in report.check_rows()
    ]
    parts = [
        element(
            "p",
            element("b", f"Self-check of {report.device}"),
            ": ",
            verdict(not report.failed, report.verdict()),
        ),
        paragraphs(*report.title()),
        table(CHECK_COLUMNS, checks, numbers=(2, 3, 4, 5), line=(1,)),
        *[element("p", line, kind="red") for line in report.failure_lines(FAILURES)],
        paragraphs(*report.note_lines()),
    ]
    if report.speeds:
        parts.append(table(SPEED_COLUMNS, report.speed_rows(), numbers=(2, 3)))
    if report.others:
        columns, rows = report.others_table()
        parts.append(table(columns, rows, numbers=range(1, len(columns))))
    return join(parts)


finding_html = shown(finding_block)
doctor_html = shown(_doctor)
grade_html = shown(_grade)
report_html = shown(_report)
