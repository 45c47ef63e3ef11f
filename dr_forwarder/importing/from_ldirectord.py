"""From ldirectord: an ldirectord.cf as a native document, each directive under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from ..config import Config, Mark, ldirectord, typography
from ..config.assemble import assemble
from ..config.directive import Kind
from ..config.directives import BY_NAME
from ..config.draft import Draft, Reading, Section, Spare
from ..config.model import Real, bracketed, endpoint
from ..config.support import refuse_unsupported
from .model import Document, Line, Report, Table, Value, VirtualTable

_LEFT_OUT = "is not direct routing"


def convert(
    text: str, reading: Reading, marks: Sequence[Mark]
) -> tuple[Document, tuple[Line, ...]]:
    """Raises ConfigError for what is no ldirectord.cf. Servers by masq and ipip are left out."""
    reading.skip_unsupported = True
    draft = ldirectord.read(text, reading)
    config = replace(assemble(draft, reading), marks=tuple(marks))
    with reading.gathering():
        config = refuse_unsupported(config, rules_later=True)
    reading.refuse()
    report = Report(text.split("\n"))
    document = Document(defaults=Table(_values(draft.shared)))
    document.virtuals = [_virtual(section) for section in draft.virtuals]
    _tell(draft, config, report)
    return document, report.lines()


def _virtual(section: Section) -> VirtualTable:
    target = section.target
    opening: dict[str, Value] = {}
    if target.address is None:
        opening["fwmark"] = target.fwmark
        if target.family == 6:
            opening["ipv6"] = True
    else:
        opening["address"] = f"{bracketed(target.address)}:{target.port}"
    # Neighbouring servers of one line were one range.
    lines = [[*group] for _, group in groupby(section.reals, key=lambda real: real.line)]
    return VirtualTable(opening | _values(section), real=[_real(group) for group in lines])


def _values(section: Section) -> dict[str, Value]:
    found: dict[str, Value] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in section.values.items()
    }
    for family, spare in section.spares.items():
        if spare is not None:
            own_family = section.target.address is not None or section.target.fwmark
            name = "fallback6" if family == 6 and not own_family else "fallback"
            found[name] = _spare(spare)
    return found


def _spare(spare: Spare) -> str:
    return bracketed(spare.address) if spare.port is None else endpoint(spare.address, spare.port)


def _real(reals: list[Real]) -> Table:
    first, last = reals[0], reals[-1]
    where = bracketed(first.address)
    if last is not first:
        where += f"->{bracketed(last.address)}"
    values: dict[str, Value] = {"address": f"{where}:{first.port}" if first.port else where}
    if first.weight != 1:
        values["weight"] = first.weight
    if first.request is not None and first.receive is not None:
        values |= {"request": first.request, "receive": first.receive}
    if first.lower:
        values["lower"] = first.lower
    if first.upper:
        values["upper"] = first.upper
    return Table(values)


def _tell(draft: Draft, config: Config, report: Report) -> None:
    for section in (draft.shared, *draft.virtuals):
        reals = [real.line for real in section.reals]
        spares = [spare.line for spare in section.spares.values() if spare is not None]
        for line in (section.line, *section.lines.values(), *reals, *spares):
            if line:
                report.same(line)
    for notice in config.notices:
        if _LEFT_OUT in notice.reason:
            report.not_dr(notice.line, notice.reason)
        elif not notice.strict:
            report.differs(notice.line, notice.reason)
    told = {line.number for line in report.lines()}
    for number, text in enumerate(report.texts, 1):
        said = typography.plain(text).strip()
        if number not in told and said and not said.startswith("#"):
            _tell_again(number, said, report)


def _tell_again(number: int, text: str, report: Report) -> None:
    """Of a directive that is written more than once the last counts, but for those that gather."""
    row = BY_NAME.get(text.partition("=")[0].strip())
    if row is not None and row.kind is Kind.REPEATED:
        report.same(number)
    else:
        report.differs(number, "says nothing: the same directive comes again further down")
