"""Page: decisions as one page of HTML that needs nothing else: no scripts, no outside resources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from ..records import Record
from .above import layers
from .ladder import Arrow, Field, Ladder, Party, Standing, ladder

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --paper: #fbfbf9; --card: #ffffff;
  --line: #c9ced8; --arrow: #0b7a43; --mark: #ffd54a; --mark-ink: #1c2330; --stop: #c0272d;
  --soft: #5c6675; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --paper: #12151b;
  --card: #1b2029; --line: #3a4250; --arrow: #4fd18b; --mark: #a67c00; --mark-ink: #ffffff;
  --stop: #ff7a7f; --soft: #9aa5b5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem; margin: 1rem 0; }
code, td, .mac { font-family: ui-monospace, monospace; font-size: .82rem; }
.parties, .rung { display: grid; grid-template-columns: repeat(var(--parties), 1fr); gap: .4rem; }
.parties { text-align: center; overflow-wrap: anywhere; font-size: .9rem; }
.parties b { display: block; }
.soft, .mac { color: var(--soft); }
.mac { white-space: nowrap; }
.arrow { margin: .8rem 0; text-align: center; overflow-wrap: anywhere; }
.arrow .way { display: block; height: 0; border-top: 3px solid var(--arrow); position: relative;
  margin: .3rem 0; }
.arrow .way::after { content: ""; position: absolute; top: -8px; border: 6px solid transparent; }
.right .way::after { right: -6px; border-left-color: var(--arrow); }
.left .way::after { left: -6px; border-right-color: var(--arrow); }
.stop { color: var(--stop); font-weight: bold; text-align: center; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: .85rem; }
mark { background: var(--mark); color: var(--mark-ink); border-radius: .2rem; padding: 0 .1rem; }
.why { border-left: 4px solid var(--arrow); padding-left: .8rem; margin: .8rem 0 0; }
@media (max-width: 32rem) { body { font-size: .85rem; padding: .5rem; } section { padding: .6rem; }
  .parties { font-size: .68rem; gap: .2rem; } .mac { font-size: .58rem; }
  code, td { font-size: .62rem; } th, td { padding-right: .4rem; } }
"""


def page(title: str, records: Sequence[Record], *, left_out: int = 0) -> str:
    """A whole page; a section for each record."""
    more = f"<p>... and {left_out} more that are not shown.</p>" if left_out else ""
    body = "".join(section(ladder(record)) for record in records) or "<p>No frame.</p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}{more}</body></html>\n"
    )


def section(picture: Ladder) -> str:
    """One decision, for a page that has this page's style."""
    return (
        f'<section style="--parties:{len(picture.parties)}"><h2>{escape(picture.title)}</h2>'
        + f'<div class="parties">{"".join(map(_party, picture.parties))}</div>'
        + "".join(_arrow(each, len(picture.parties)) for each in picture.arrows)
        + ('<p class="stop">&#10007; It ends at the director.</p>' if picture.ends_here else "")
        + "".join(_header(picture))
        + "".join(_candidates(picture.record))
        + "".join(map(_layer, layers(picture.record)))
        + f'<p class="why">{escape(picture.record.why)}</p></section>'
    )


def _layer(line: str) -> str:
    return f'<p class="soft"><code>{escape(line)}</code></p>'


def _party(each: Standing) -> str:
    mac = each.mac.hex(":") if each.mac else "MAC not known"
    return (
        f"<div><b>{each.party.value}</b>{escape(each.address)}"
        f'<br><span class="mac">{mac}</span></div>'
    )


def _arrow(arrow: Arrow, parties: int) -> str:
    order = list(Party)
    source, target = order.index(arrow.source), order.index(arrow.target)
    left, right = sorted((source, target))
    # From the middle of one column to that of the other.
    share = 100 / parties
    before, behind = share * (left + 0.5), share * (parties - right - 0.5)
    sides = f"margin-left:{before:.1f}%;margin-right:{behind:.1f}%"
    way = "right" if source < target else "left"
    return (
        f'<div class="arrow {way}" style="{sides}">{escape(arrow.text)}<span class="way"></span>'
        f'<span class="mac">{arrow.mac_from.hex(":")}</span> '
        f'<span class="mac">&rarr; {arrow.mac_to.hex(":")}</span></div>'
    )


def _header(picture: Ladder) -> Iterator[str]:
    yield '<div class="scroll"><table><tr><th>Ethernet header</th><th>as it came</th>'
    yield "<th>as it left</th></tr>"
    for field in picture.header:
        name = f"{field.name} ({field.meaning})" if field.meaning else field.name
        after = "&ndash;" if field.after is None else _bytes(field.after, field)
        before = _bytes(field.before, field)
        yield f"<tr><th>{escape(name)}</th><td>{before}</td><td>{after}</td></tr>"
    yield "</table></div>"


def _bytes(shown: bytes, field: Field) -> str:
    return ":".join(
        f"<mark>{byte:02x}</mark>" if changed else f"{byte:02x}"
        for byte, changed in zip(shown, field.changed(), strict=True)
    )


def _candidates(record: Record) -> Iterator[str]:
    if not record.candidates:
        return
    yield f'<div class="scroll"><table><tr><th>What {escape(record.scheduler or "")} saw</th>'
    yield "<th>weight</th><th>active</th><th>inactive</th></tr>"
    for at, each in enumerate(record.candidates):
        name = f"&#9654; <b>{each.address}</b>" if at == record.chosen else str(each.address)
        full = " (overloaded)" if each.overloaded else ""
        yield f"<tr><td>{name}{full}</td><td>{each.weight}</td><td>{each.active}</td>"
        yield f"<td>{each.inactive}</td></tr>"
    yield "</table></div>"
    if record.candidate_count > len(record.candidates):
        yield f"<p>... and {record.candidate_count - len(record.candidates)} more.</p>"
