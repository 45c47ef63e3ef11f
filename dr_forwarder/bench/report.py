"""Report: what was found as text, and as values for JSON. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .model import Comparison, Findings, Machine, Spread, Table, spread


@dataclass(frozen=True, slots=True)
class Report:
    """All of one run."""

    machine: Machine
    stolen: float
    """Share of all CPUs' time that the hypervisor gave to others."""
    real_time: bool
    """The benchmark went before all other programs."""
    seconds: float
    """How long it took."""
    sections: Mapping[str, tuple[str, Findings]]
    """Of each section's name its sentence and what it found."""
    missing: Mapping[str, str]
    """Forwarders that this host has not, and why."""
    unsteered: str = ""
    """Why receiving is the sender's CPU's work here; empty: it is not."""


def head(machine: Machine) -> str:
    """What comes first."""
    return (
        f"{machine.processor}, {machine.cpus} CPUs, Linux {machine.kernel}, {machine.date}."
        " Three figures: least - median - most.\n"
    )


def section(name: str, sentence: str, findings: Findings) -> str:
    """One section, for people to read; it is Markdown too."""
    return "\n".join(_section(name, sentence, findings)) + "\n"


def foot(report: Report) -> str:
    """What comes last."""
    priority = "real-time" if report.real_time else "ordinary"
    lines = [f"without {name}: {why}" for name, why in report.missing.items()]
    if report.unsteered:
        lines.append(f"the sender's CPU received for the forwarder: {report.unsteered}")
    lines.append(
        f"{report.seconds:.0f} s at {priority} priority; stolen by the hypervisor:"
        f" {report.stolen:.1%}"
    )
    return "\n" + "\n\n".join(lines) + "\n"


def values(report: Report) -> dict[str, Any]:
    """Everything, each single value included."""
    return asdict(report) | {
        "ratios": {
            comparison.title: {
                name: asdict(ratio)
                for name in comparison.compared
                if (ratio := comparison.ratio(name))
            }
            for _, findings in report.sections.values()
            for comparison in findings.comparisons
            if comparison.compared
        }
    }


def _section(name: str, sentence: str, findings: Findings) -> Iterator[str]:
    yield ""
    yield f"## {name}: {sentence}"
    for comparison in findings.comparisons:
        yield ""
        yield from _comparison(comparison)
    for table in findings.tables:
        yield ""
        yield from _table(table)
    for note in findings.notes:
        yield from ("", note)


def _comparison(comparison: Comparison) -> Iterator[str]:
    with_ratios = bool(comparison.compared)
    head: tuple[str, ...] = (f"{comparison.title}, {comparison.unit}", "median", "least", "most")
    if with_ratios:
        head += (f"to {comparison.base}" if comparison.base else "director is", "bar")
    rows, refused = [], []
    for name, found in comparison.values.items():
        numbers = comparison.numbers(name)
        if numbers:
            all_ = spread(numbers)
            figures = tuple(f"{number:,.0f}" for number in (all_.median, all_.least, all_.greatest))
        else:
            figures = ("-", "-", "-")
        rows.append((name, *figures, *(_ratio(comparison, name) if with_ratios else ())))
        reasons = [value.refused for value in found if value.refused]
        if reasons:
            refused.append(f"{name}: {len(reasons)} of {len(found)} refused, {reasons[-1]}")
    yield from _table(Table("", head, tuple(rows)))
    for line in refused:
        yield from ("", line)


def _ratio(comparison: Comparison, name: str) -> tuple[str, str]:
    if name not in comparison.compared:
        return "", ""
    ratio = comparison.ratio(name)
    if ratio is None:
        return "-", ""
    return _three(ratio), _bar(comparison.bars.get(name), ratio)


def _bar(bar: float | None, ratio: Spread) -> str:
    if bar is None:
        return ""
    return f"{bar:.2f} {'met' if ratio.median >= bar else 'MISSED'}"


def _three(values_: Spread) -> str:
    return f"{values_.least:.2f} - {values_.median:.2f} - {values_.greatest:.2f} x"


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield table.title
        yield ""
    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
    yield _row(table.columns, widths)
    yield (
        "|"
        + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths))
        + "|"
    )
    for row in table.rows:
        yield _row(row, widths)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}"
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join((first, *others)) + " |"
