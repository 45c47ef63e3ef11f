"""Terminal: a decision drawn by rich."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..records import Record
from .above import layers
from .ladder import Arrow, Field, Ladder, Party, ladder

_COLUMN = 26
_PARTIES = tuple(Party)


class Terminal:
    """Draws one decision after the other."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()

    def show(self, record: Record) -> None:
        """Draws it."""
        self._console.print(drawing(ladder(record)))


def drawing(picture: Ladder) -> RenderableType:
    """The picture, the header before and after, what the scheduler saw, and why."""
    parts: list[RenderableType] = [*_rungs(picture), _header(picture)]
    if picture.record.candidates:
        parts.append(_candidates(picture))
    parts += [Text(line, style="dim") for line in layers(picture.record)]
    parts.append(Text(picture.record.why, style="bold"))
    return Panel(Group(*parts), title=picture.title, title_align="left")


# ---- The ladder ----


def _rungs(picture: Ladder) -> Iterator[Text]:
    standing = {each.party: each for each in picture.parties}
    shown = [party for party in _PARTIES if party in standing]
    yield _row([party.value for party in shown], style="bold cyan")
    yield _row([standing[party].address for party in shown])
    macs = (standing[party].mac for party in shown)
    yield _row([mac.hex(":") if mac else "MAC not known" for mac in macs], style="dim")
    for arrow in picture.arrows:
        yield _posts(len(shown))
        yield from _arrow(arrow, len(shown))
    if picture.ends_here:
        yield Text(" " * (_COLUMN + _COLUMN // 2) + "X  it ends here", style="bold red")


def _row(cells: list[str], *, style: str = "") -> Text:
    return Text("".join(cell.center(_COLUMN) for cell in cells), style=style)


def _posts(count: int) -> Text:
    return Text("".join("│".center(_COLUMN) for _ in range(count)), style="dim")


def _arrow(arrow: Arrow, count: int) -> Iterator[Text]:
    source, target = _PARTIES.index(arrow.source), _PARTIES.index(arrow.target)
    left, right = sorted((source, target))
    inner = _COLUMN * (right - left) - 1
    words = f" {arrow.text} ".center(inner - 1, "─")
    line = f"{words}▶" if source < target else f"◀{words}"
    yield _between(left, right, count, line, "bold green")
    macs = f"{arrow.mac_from.hex(':')} → {arrow.mac_to.hex(':')}"
    yield Text(" " * (_COLUMN // 2 + _COLUMN * left) + f"  {macs}", style="green")


def _between(left: int, right: int, count: int, middle: str, style: str) -> Text:
    text = Text()
    for post in range(count):
        if post == 0:
            text.append(" " * ((_COLUMN - 1) // 2))
        text.append("│", style="dim")
        if left <= post < right:
            text.append(middle, style=style)
        elif post < count - 1:
            text.append(" " * (_COLUMN - 1))
    return text


# ---- The header ----


def _header(picture: Ladder) -> Table:
    table = Table(box=SIMPLE, title="Ethernet header", title_justify="left")
    for name in ("", "as it came", "as it left", "changed"):
        table.add_column(name)
    for field in picture.header:
        table.add_row(_name(field), _bytes(field.before, field), _after(field), field.summary)
    return table


def _name(field: Field) -> str:
    return f"{field.name} ({field.meaning})" if field.meaning else field.name


def _after(field: Field) -> Text:
    if field.after is None:
        return Text("-", style="dim")
    return _bytes(field.after, field)


def _bytes(shown: bytes, field: Field) -> Text:
    text = Text()
    for at, (byte, changed) in enumerate(zip(shown, field.changed(), strict=True)):
        text.append(":" if at else "", style="dim")
        text.append(f"{byte:02x}", style="bold reverse yellow" if changed else "")
    return text


# ---- What the scheduler saw ----


def _candidates(picture: Ladder) -> Table:
    record = picture.record
    table = Table(box=SIMPLE, title=f"What {record.scheduler} saw", title_justify="left")
    for name in ("", "real server", "weight", "active", "inactive"):
        table.add_column(name, justify="left" if name in ("", "real server") else "right")
    for at, each in enumerate(record.candidates):
        is_chosen = at == record.chosen
        table.add_row(
            "▶" if is_chosen else "",
            str(each.address) + (" (overloaded)" if each.overloaded else ""),
            *map(str, (each.weight, each.active, each.inactive)),
            style="bold" if is_chosen else "",
        )
    left_out = record.candidate_count - len(record.candidates)
    if left_out > 0:
        table.add_row("", f"... and {left_out} more")
    return table
