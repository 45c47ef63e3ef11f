"""Explanations: the picture of a decision, in the terminal and as a page."""

from __future__ import annotations

import builtins
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import captures
import pytest
from captures import BEGAN_NS
from click.testing import CliRunner
from director import CLIENT_MAC, VIRTUAL_MAC, tcp
from rich.console import Console

from dr_forwarder.cli.program import program
from dr_forwarder.config import load
from dr_forwarder.explanation.ladder import Party, ladder
from dr_forwarder.explanation.page import page
from dr_forwarder.explanation.terminal import Terminal
from dr_forwarder.records import Record
from dr_forwarder.replay import Replay
from dr_forwarder.vlan import Vlan

CONFIG_FILE = Path(__file__).parent / "data" / "tutorial.cf"
SYN = tcp("S", "10.10.10.10:40000", "10.10.10.60:80")
ELSEWHERE = tcp("S", "10.10.10.10:40000", "10.10.10.60:81")
ASKS = (
    b"\xff" * 6
    + CLIENT_MAC
    + bytes.fromhex("08060001080006040001")
    + CLIENT_MAC
    + bytes([10, 10, 10, 10, 0, 0, 0, 0, 0, 0, 10, 10, 10, 60])
)
SERVER_MAC = bytes.fromhex("02000a0a0a3f")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explanation") / "capture.pcap"
    path.write_bytes(captures.pcap([(BEGAN_NS, each) for each in (SYN, ELSEWHERE, ASKS)]))
    return path


@pytest.fixture(scope="module")
def records(capture: Path) -> list[Record]:
    with Replay(load(CONFIG_FILE), capture) as run:
        return list(run.records())


def drawn(record: Record) -> str:
    out = StringIO()
    Terminal(Console(file=out, width=100)).show(record)
    return out.getvalue()


class Elements(HTMLParser):
    """Every element with its attributes; they must be closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_forwarded_frame_goes_from_client_to_director_to_server(records: list[Record]) -> None:
    picture = ladder(records[0])
    assert [(each.source, each.target) for each in picture.arrows] == [
        (Party.CLIENT, Party.DIRECTOR),
        (Party.DIRECTOR, Party.SERVER),
    ]
    assert [each.mac for each in picture.parties] == [CLIENT_MAC, VIRTUAL_MAC, SERVER_MAC]
    assert (picture.arrows[0].mac_from, picture.arrows[0].mac_to) == (CLIENT_MAC, VIRTUAL_MAC)
    assert picture.arrows[0].text == "SYN"
    assert not picture.ends_here


def test_the_changed_bytes_are_those_that_differ(records: list[Record]) -> None:
    fields = {field.name: field for field in ladder(records[0]).header}
    assert fields["destination"].before == VIRTUAL_MAC
    assert fields["destination"].after == SERVER_MAC
    assert fields["destination"].changed() == (False, False, True, True, True, True)
    assert fields["source"].summary == "2 of 6 bytes"
    assert (fields["type"].meaning, fields["type"].summary) == ("IPv4", "")


def test_a_dropped_frame_ends_at_the_director(records: list[Record]) -> None:
    picture = ladder(records[1])
    assert picture.ends_here
    assert len(picture.arrows) == 1
    assert [each.party for each in picture.parties] == [Party.CLIENT, Party.DIRECTOR]
    assert all(field.after is None for field in picture.header)


def test_an_answer_goes_back_to_the_client(records: list[Record]) -> None:
    picture = ladder(records[2])
    assert (picture.arrows[1].source, picture.arrows[1].target) == (Party.DIRECTOR, Party.CLIENT)
    assert (picture.arrows[1].mac_from, picture.arrows[1].mac_to) == (VIRTUAL_MAC, CLIENT_MAC)
    assert picture.header[0].meaning == "everybody"


def test_tags_are_fields_of_the_header(capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "tagged.pcap"
    path.write_bytes(captures.pcap([(BEGAN_NS, Vlan((200, 7)).tag(SYN))]))
    with Replay(load(CONFIG_FILE), path) as run:
        picture = ladder(next(iter(run.records())))
    assert [field.name for field in picture.header] == [
        *("destination", "source", "tag", "tag", "type"),
    ]
    assert picture.header[2].before == bytes.fromhex("88a800c8")


def test_a_frame_of_a_few_bytes_has_a_picture_too(tmp_path: Path) -> None:
    for length in range(15):
        path = tmp_path / "short.pcap"
        path.write_bytes(captures.pcap([(BEGAN_NS, SYN[:length])]))
        with Replay(load(CONFIG_FILE), path) as run:
            (record,) = run.records()
        assert drawn(record)
        Elements(page("short", [record]))


# ---- In the terminal ----


def test_the_terminal_shows_who_sends_what_to_whom_and_why(records: list[Record]) -> None:
    text = drawn(records[0])
    for part in (
        *("client", "director", "real server", "SYN", "the same SYN", "What wrr saw"),
        *("02:00:00:00:00:01 → 02:00:5e:00:00:64", "02:00:5e:00:00:64 → 02:00:0a:0a:0a:3f"),
        *("4 of 6 bytes", "A new connection: wrr chose 10.10.10.63", "dport="),
    ):
        assert part in text
    assert "it ends here" in drawn(records[1])
    assert "◀" in drawn(records[2])


def test_without_rich_it_says_what_to_install(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def no_rich(name: str, *arguments: object, **named: object) -> object:
        if name.partition(".")[0] == "rich" or name.endswith("explanation.terminal"):
            raise ImportError(name="rich")
        return real(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", no_rich)
    arguments = ["replay", str(capture), "--config", str(CONFIG_FILE), "--explain"]
    result = CliRunner().invoke(program, arguments)
    assert "pip install 'dr-forwarder[look]'" in str(result.exception)


# ---- As a page ----


def test_the_page_is_whole_and_needs_nothing_else(records: list[Record]) -> None:
    text = page("A <title> & more", records, left_out=3)
    elements = Elements(text)
    assert "A &lt;title&gt; &amp; more" in text
    assert not {tag for tag, _ in elements.seen} & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?:|url\(|@import", text)
    assert not any({"src", "href"} & {*attributes} for _, attributes in elements.seen)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert "and 3 more" in text


def test_the_page_marks_the_changed_bytes(records: list[Record]) -> None:
    text = page("", records[:1])
    before = "02:00:<mark>5e</mark>:<mark>00</mark>:<mark>00</mark>:<mark>64</mark>"
    assert before in text
    assert text.count("<mark>") == 2 * (4 + 2)


def test_replay_writes_the_page(capture: Path, tmp_path: Path) -> None:
    html = tmp_path / "page.html"
    arguments = ["replay", str(capture), "--config", str(CONFIG_FILE), "--html", str(html)]
    result = CliRunner().invoke(program, arguments)
    assert result.exit_code == 0, result.output
    assert "3 frames in" in result.output
    sections = [tag for tag, _ in Elements(html.read_text()).seen if tag == "section"]
    assert len(sections) == 3
