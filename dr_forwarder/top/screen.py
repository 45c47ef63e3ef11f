"""Screen: the live view as a terminal application. What it shows is `model`'s."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final, Protocol

from rich.text import Text
from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static

from ..cluster import Line, Look, State, lines
from ..errors import ForwarderError
from ..printable import printable
from .model import Order, books, headline, ordered, verdicts, workers

EVERY_S: Final = 1.0
WIDE: Final = 118
"""Columns of the terminal from which all of the table's are shown, with the reasons."""
_STYLES: Final = {
    State.UP: "green",
    State.QUIET: "yellow",
    State.DOWN: "bold red",
    State.UNKNOWN: "dim",
}
_Table = DataTable[Text | str]
_HELP: Final = """\
[b]dr-forwarder top[/b]

up, down   choose a server; its reason is below the table
s          sort by: service, packets, new connections,
           active connections, state
r          the other way round
d          drain: no new connections; those there are go on,
           and end after ten minutes
x          disable: connections end now
e          enable: checks and configuration decide again
q          quit

State: up; quiet: gets nothing new (weight 0, drained, full);
down: its checks fail, or it has no MAC address.
Rates are kernel IPVS's: averages over some seconds.

Any key goes back."""


class Source(Protocol):
    """Where the figures come from and the keys go to; its methods may wait for the director."""

    def look(self) -> Look:
        """All that is shown; raises ForwarderError."""

    def act(self, verb: str, line: Line) -> None:
        """``drain``, ``disable`` or ``enable`` a server; raises ForwarderError."""


class Note(ModalScreen[str]):
    """A text in the middle, until a key is pressed; that key is the result."""

    CSS = """
    Note { align: center middle; }
    Note > Static { width: auto; max-width: 90%; height: auto; max-height: 100%; padding: 1 2;
                    background: $panel; border: round $primary; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The text alone."""
        yield Static(self._text)

    def on_key(self, event: events.Key) -> None:
        """Any key ends it."""
        event.stop()
        self.dismiss(event.key)


class Top(App[None]):
    """Services, servers, rates, health with reasons, and what became of the frames."""

    TITLE = "dr-forwarder top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #headline { height: 1; padding: 0 1; text-style: bold; background: $panel; }
    #servers { height: 2fr; }
    #detail { height: 1; padding: 0 1; color: $text-muted; }
    #verdicts { height: 1fr; min-height: 5; border-top: solid $primary; }
    #note { height: 1; padding: 0 1; color: $text-accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse"),
        Binding("d", "order('drain')", "Drain"),
        Binding("x", "order('disable')", "Disable"),
        Binding("e", "order('enable')", "Enable"),
        Binding("question_mark,h", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, source: Source, *, every_s: float = EVERY_S) -> None:
        super().__init__()
        self._source = source
        self._every_s = every_s
        self._look: Look | None = None
        self._before: Look | None = None
        self._order = Order.SERVICE
        self._reverse = False
        self._shown: tuple[Line, ...] = ()
        self._wide = False
        self._servers = _Table(id="servers", cursor_type="row", zebra_stripes=True)
        self._verdicts = _Table(id="verdicts", cursor_type="none")
        self._headline, self._detail, self._note = (
            Static(id=name) for name in ("headline", "detail", "note")
        )

    def compose(self) -> ComposeResult:
        """One line of figures, the servers, the verdicts, one line of news, the keys."""
        yield from (self._headline, self._servers, self._detail, self._verdicts, self._note)
        yield Footer()

    def on_mount(self) -> None:
        """Begins to ask."""
        self._fit(self.size.width)
        self._verdicts.add_columns("What became of the frames", "Frames", "Frames/s")
        self._verdicts.can_focus = False
        self._servers.focus()
        self._watch()

    def on_resize(self, event: events.Resize) -> None:
        """As many columns as there is room for."""
        self._fit(event.size.width)

    def _fit(self, width: int) -> None:
        self._wide = width >= WIDE
        table, wanted = self._servers, _columns(wide=self._wide)
        if [str(column.label) for column in table.ordered_columns] != wanted:
            table.clear(columns=True)
            table.add_columns(*wanted)
            self._draw()

    @work
    async def _watch(self) -> None:
        while True:
            await self._turn()
            await asyncio.sleep(self._every_s)

    async def _turn(self) -> None:
        try:
            look = await asyncio.to_thread(self._source.look)
        except ForwarderError as error:
            self._before = None
            _write(self._headline, str(error), "bold red")
            return
        self._before, self._look = self._look, look
        self._draw()

    # ---- Drawing ----

    def _draw(self) -> None:
        if self._look is None:
            return
        chosen = self._chosen()
        self._shown = ordered(lines(self._look), self._order, reverse=self._reverse)
        _write(self._headline, headline(self._look, self._before, self._shown))
        _fill(self._servers, [_cells(line, wide=self._wide) for line in self._shown])
        _fill(
            self._verdicts,
            [
                (each.name, _right(f"{each.count:,}"), _right(f"{each.rate:,.0f}"))
                for each in (
                    books(self._look, self._before),
                    *verdicts(self._look, self._before),
                    *workers(self._look, self._before),
                )
            ],
        )
        self._stay_at(chosen)
        self._tell_reason()

    def _stay_at(self, chosen: Line | None) -> None:
        """The cursor goes with its server: a key must not hit one that has taken its place."""
        if chosen is None:
            return
        names = [(line.service, line.virtual, line.server) for line in self._shown]
        name = (chosen.service, chosen.virtual, chosen.server)
        if name in names:
            self._servers.move_cursor(row=names.index(name))

    def on_data_table_row_highlighted(self) -> None:
        """Another server is chosen."""
        self._tell_reason()

    def _chosen(self) -> Line | None:
        row = self._servers.cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def _tell_reason(self) -> None:
        line = self._chosen()
        said = "" if line is None else f"{line.server} {line.state.value}"
        reason = f"{said}: {line.reason}" if line and line.reason else said
        _write(self._detail, printable(reason))

    # ---- Keys ----

    def action_sort(self) -> None:
        """Sorts by the next thing."""
        orders = tuple(Order)
        self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        _write(self._note, f"sorted by {self._order.value}")
        self._draw()

    def action_reverse(self) -> None:
        """Sorts the other way round."""
        self._reverse = not self._reverse
        self._draw()

    def action_help(self) -> None:
        """Says what the keys do."""
        self.push_screen(Note(_HELP))

    @work
    async def action_order(self, verb: str) -> None:
        """Does it to the server under the cursor."""
        line = self._chosen()
        if line is None:
            return
        if verb == "disable":
            question = f"End all connections to {line.server} of {line.virtual} now?\n\ny: yes"
            if await self.push_screen_wait(Note(question)) != "y":
                _write(self._note, "nothing was changed")
                return
        try:
            await asyncio.to_thread(self._source.act, verb, line)
        except ForwarderError as error:
            _write(self._note, f"{verb} {line.server}: {error}", "bold red")
            return
        _write(self._note, f"{verb}: {line.server} of {line.service}")
        await self._turn()


def _fill(table: _Table, rows: list[tuple[Text | str, ...]]) -> None:
    """Only cells that differ are written, so the cursor and what is scrolled to stay."""
    while table.row_count > len(rows):
        table.remove_row(table.ordered_rows[-1].key)
    for number, row in enumerate(rows):
        if number == table.row_count:
            table.add_row(*row)
            continue
        for column, (old, new) in enumerate(zip(table.get_row_at(number), row, strict=True)):
            if old != new:
                table.update_cell_at(Coordinate(number, column), new, update_width=True)


def _write(where: Static, text: str, style: str = "") -> None:
    """Text as it is: what servers say has no markup."""
    where.update(Text(text, style=style))


def _columns(*, wide: bool) -> list[str]:
    few = ["Service", "Server", "State", "Weight", "Active"]
    if not wide:
        return [*few, "New/s", "Pkts/s"]
    return [*few, "InAct", "New/s", "Pkts/s", "Bytes/s", "Why"]


def _cells(line: Line, *, wide: bool) -> tuple[Text | str, ...]:
    service = line.virtual if line.service is None else str(line.service)
    state = Text(line.state.value, style=_STYLES[line.state])
    weight = "-" if line.weight is None else f"{line.weight}"
    rates = line.rates
    few = (service, line.server, state, _right(weight), _right(f"{line.active:,}"))
    new, packets = _right(f"{rates.connections:,}"), _right(f"{rates.packets:,}")
    if not wide:
        return (*few, new, packets)
    inactive, size = _right(f"{line.inactive:,}"), _right(f"{rates.bytes:,}")
    return (*few, inactive, new, packets, size, Text(printable(line.reason)))


def _right(text: str) -> Text:
    return Text(text, justify="right")
