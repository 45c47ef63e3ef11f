"""Configurations as they come out of blogs, word processors and mail: without indent, with
typographic characters; and files with more than one mistake.
"""

from __future__ import annotations

import gzip
import re
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_config_ldirectord import DATA, V, one, parse, resolver, service_ports, strict
from test_importing import AS_PROGRAM, imported

from dr_forwarder.cli.check import command as check
from dr_forwarder.config import CheckType, ConfigError, load, load_text, parse_text
from dr_forwarder.config.model import Address, Virtual
from dr_forwarder.importing import Kind, Verdict

FLAT = DATA / "tutorial-without-indent.cf"
TYPOGRAPHIC = DATA / "tutorial-typographic.cf"
NBSP, ZWSP = "\u00a0", "\u200b"


def of(text: str | bytes, tmp_path: Path) -> Virtual:
    path = tmp_path / "pasted.cf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (virtual,) = load(path).virtuals
    return virtual


def served(virtual: Virtual) -> tuple[str, ...]:
    return tuple(f"{real.address}:{real.port}" for real in virtual.real)


def test_the_tutorial_without_indent_says_what_was_meant() -> None:
    config = load(FLAT)
    (virtual,) = config.virtuals
    assert (virtual.name, virtual.scheduler) == ("10.10.10.60:80", "wrr")
    assert served(virtual) == ("10.10.10.62:80", "10.10.10.63:80")
    assert (virtual.check.service, virtual.check.type) == ("http", CheckType.NEGOTIATE)
    assert (virtual.check.request, virtual.check.receive) == ("/test.html", "foo")
    assert [(each.line, each.strict) for each in config.notices] == [(7, True)]
    assert "taken for the virtual= above them: indent" in config.notices[0].reason
    assert config.notices[0].reason.endswith("(lines 7-14)")


def test_the_tutorial_with_typographic_quotes_says_what_was_meant() -> None:
    config = load(TYPOGRAPHIC)
    (virtual,) = config.virtuals
    assert (virtual.check.request, virtual.check.receive) == ("/index.html", "hi")
    assert config.log_file == "/var/log/ldirectord.log"
    assert virtual.quiescent
    quotes, indent = config.notices
    assert (quotes.line, quotes.strict) == (3, True)
    assert quotes.reason.startswith("typographic quotes are taken for quotes")
    assert (indent.line, indent.strict) == (6, True)


@pytest.mark.parametrize("path", [FLAT, TYPOGRAPHIC], ids=lambda path: path.stem)
def test_what_ldirectord_refuses_strict_refuses(path: Path) -> None:
    taken, refused = (
        CliRunner().invoke(check, [*more, str(path)], **AS_PROGRAM) for more in ([], ["--strict"])
    )
    assert (taken.exit_code, refused.exit_code) == (0, 2)


PLAIN = TYPOGRAPHIC.read_text().replace("”", '"').replace("=yes", "=no")
VARIANTS = [
    pytest.param("\ufeff" + PLAIN, id="byte order mark"),
    pytest.param(PLAIN.replace("\n", "\r\n"), id="CR LF"),
    pytest.param(PLAIN.replace("\n", "\r"), id="CR alone"),
    pytest.param(PLAIN.replace("\n", "\u2028"), id="line separators"),
    pytest.param(PLAIN.replace("\n", "\u2029") + "\n", id="paragraph separators"),
    pytest.param(PLAIN.replace("\n", "\n\n"), id="blank lines between all"),
    pytest.param(PLAIN.replace("\n", " \n"), id="blanks at the ends"),
    pytest.param(PLAIN.replace("\n", f"{NBSP}\n"), id="no-break spaces at the ends"),
    pytest.param(PLAIN.replace("=", f"{NBSP}={NBSP}"), id="no-break spaces around ="),
    pytest.param(PLAIN.replace("=", f"{ZWSP}="), id="zero-width spaces"),
    pytest.param(PLAIN.replace(" gate", f"{NBSP}gate"), id="no-break spaces within"),
    pytest.param(PLAIN.replace(" gate", "\u2003gate"), id="em spaces within"),
    pytest.param(PLAIN.replace(" gate", "\u3000gate"), id="ideographic spaces within"),
    pytest.param(PLAIN.replace("=", "\uff1d"), id="full-width equals signs"),
    pytest.param(PLAIN.replace(":80", "\uff1a80"), id="full-width colons"),
    pytest.param("".join(f"    {line}\n" for line in PLAIN.splitlines()), id="all indented"),
    pytest.param("".join(f"\t{line}\n" for line in PLAIN.splitlines()), id="all by a tab"),
    pytest.param(
        "".join(f"{NBSP * 4}{line}\n" for line in PLAIN.splitlines()), id="all by no-break spaces"
    ),
    *(
        pytest.param(PLAIN.replace('="', f"={opening}").replace('"\n', f"{closing}\n"), id=name)
        for opening, closing, name in (
            ("“", "”", "English"),
            ("„", "“", "German"),
            ("»", "«", "Danish"),
            ("«", "»", "French"),
            (f"«{NBSP}", f"{NBSP}»", "French with spaces"),
            ("\u2018", "\u2019", "single"),
            ("\u201a", "\u2018", "German single"),
            ("″", "″", "primes"),
            ("\uff02", "\uff02", "full width"),
            ('"', "”", "half of them"),
            ("”", '"', "the other half"),
            ("&quot;", "&quot;", "entities"),
            ("&ldquo;", "&#8221;", "entities of another kind"),
            ("â€œ", "â€\u009d", "written as UTF-8 twice"),
        )
    ),
    pytest.param(PLAIN.replace('="', "=”").replace('"\n', "” # “so”\n"), id="with a comment"),
]


@pytest.mark.parametrize("text", VARIANTS)
def test_a_pasted_tutorial_is_read_as_it_was_meant(text: str, tmp_path: Path) -> None:
    virtual = of(text, tmp_path)
    assert served(virtual) == ("10.10.10.62:80", "10.10.10.63:80")
    assert (virtual.check.request, virtual.check.receive) == ("/index.html", "hi")
    assert (virtual.scheduler, virtual.check.service) == ("wlc", "http")
    assert virtual.check.interval_s == 2


@pytest.mark.parametrize("text", VARIANTS)
def test_each_kind_of_thing_is_told_once(text: str) -> None:
    reasons = [
        reason.partition(":")[0].partition(" (lines")[0] for _, reason in strict(parse(text))
    ]
    assert len(reasons) == len(set(reasons))
    assert 1 <= len(reasons) <= 4


def test_windows_1252_is_read_too(tmp_path: Path) -> None:
    text = b"virtual=10.0.0.1:80\n\xa0\xa0\xa0\xa0real=10.0.0.2:80\xa0gate\n    request=\x93a\x94\n"
    virtual = of(text, tmp_path)
    assert served(virtual) == ("10.0.0.2:80",)
    assert virtual.check.request == "/a"


def test_utf_16_is_said(tmp_path: Path) -> None:
    virtual = of(FLAT.read_text().encode("utf-16"), tmp_path)
    assert served(virtual) == ("10.10.10.62:80", "10.10.10.63:80")


@pytest.mark.parametrize(
    ("line", "path", "value"),
    [
        ("checktype=external\u2011perl", "type", CheckType.EXTERNAL_PERL),
        ("virtualhost=”www.example.com”", "virtual_host", "www.example.com"),
        ("checkcommand=“/bin/my check”", "command", "/bin/my check"),
        ("request=”/it\u2019s.html”", "request", "/it\u2019s.html"),
        ("receive=”say “yes””", "receive", "say “yes”"),
        ('receive="“yes”"', "receive", "“yes”"),
        ('receive="a\u00a0b"', "receive", "a\u00a0b"),
        ("receive='yes'", "receive", "yes"),
        ("request=`/a`", "request", "/a"),
        ("request=&quot;/a?b=1&amp;c=2&quot;", "request", "/a?b=1&c=2"),
        ('request="/a?b=1&amp;c=2"', "request", "/a?b=1&amp;c=2"),
        ("check\u00adtimeout=3", "check_timeout_s", 3),
        ("passwd=”pass”", "password", "pass"),
    ],
)
def test_a_value_is_what_was_meant(line: str, path: str, value: object) -> None:
    assert getattr(one(f"{V}    {line}\n").check, path) == value


def test_quotes_and_arrows_of_real_servers() -> None:
    virtual = one(f"{V}    real=10.0.0.2→10.0.0.3:80 gate 2 ”a”, ”b”\n")
    assert [str(real.address) for real in virtual.real] == ["10.0.0.2", "10.0.0.3"]
    assert {(real.weight, real.request, real.receive) for real in virtual.real} == {(2, "/a", "b")}


@pytest.mark.parametrize(
    "line", ["comment=Grüße, “alle”", 'receive="Grüße, “alle”"', "# “no”\u00a0directive"]
)
def test_text_that_may_be_typographic_is_nothing_to_tell_of(line: str) -> None:
    assert parse(f"{V}    {line}\n").notices == ()


def test_what_is_left_within_a_value_is_told_of() -> None:
    (notice,) = parse(f'{V}    request="/a\u2011b…"\n').notices
    assert (notice.line, notice.strict) == (2, False)
    assert "request has U+2011, U+2026 in its text" in notice.reason


def test_a_quote_that_is_not_closed_is_an_error() -> None:
    with pytest.raises(ConfigError, match="closing quote of request is missing") as caught:
        parse(f"{V}    request=”index.html\n")
    assert caught.value.line == 2


# ---- What may be the whole file's as well ----


def hints(text: str) -> list[int]:
    return [each.line for each in parse(text).notices if "is not indented and so is" in each.reason]


def test_without_indent_what_may_be_the_whole_files_is() -> None:
    text = (
        "virtual=10.0.0.1:80\nreal=10.0.0.2:80 gate\nquiescent=yes\nservice=http\n"
        "virtual=10.0.0.3:80\nreal=10.0.0.2:80 gate\n"
    )
    assert [virtual.quiescent for virtual in parse(text).virtuals] == [True, True]
    assert hints(text) == [3]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("checktimeout=3\nvirtual=10.0.0.1:80\nreal=10.0.0.2 gate\n", []),
        ("virtual=10.0.0.1:80\nreal=10.0.0.2 gate\nchecktimeout=3\n", [3]),
        ("virtual=10.0.0.1:80\nreal=10.0.0.2 gate\n\nchecktimeout=3\n", []),
        ("virtual=10.0.0.1:80\nreal=10.0.0.2 gate\n\nchecktimeout=3\nservice=http\n", [4]),
        ("virtual=10.0.0.1:80\nchecktimeout=3\nreal=10.0.0.2 gate\n", [2]),
        ("virtual=10.0.0.1:80\n    real=10.0.0.2 gate\nchecktimeout=3\n", []),
        ("virtual=10.0.0.1:80\nchecktimeout=3\n    real=10.0.0.2 gate\n", [2]),
        ("virtual=10.0.0.1:80\nreal=10.0.0.2 gate\nautoreload=yes\n", []),
    ],
)
def test_what_is_for_the_whole_file_and_hardly_meant_so_is_told_of(
    text: str, lines: list[int]
) -> None:
    assert hints(text) == lines


def test_what_only_a_service_can_have_needs_one() -> None:
    with pytest.raises(ConfigError, match="real is for one virtual service") as caught:
        parse("real=10.0.0.2 gate\nvirtual=10.0.0.1:80\n\n")
    assert caught.value.line == 1


# ---- All errors in one run ----

WRONG = """checktimeout=soon
virtual=10.0.0.1:8O
    real=10.0.0.2 gatee
    request="a
virtual=10.0.0.3:80
    servce=http
    scheduler=wll
    real=10.0.0.2 masq
    netmask=1.2.3
    persistent=0
virtual=10.0.0.3:80
    real=10.0.0.2 gate
virtual=7
    protocol=tcp
hello
"""


def all_errors(text: str, path: str) -> list[int]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, path=path, resolver=resolver, service_ports=service_ports, host_name="d")
    error = caught.value
    assert len(str(error).splitlines()) == 1 + len(error.others)
    return [each.line for each in (error, *error.others)]


def test_all_errors_are_told_in_one_run() -> None:
    lines = all_errors(WRONG, "a.cf")
    assert lines == [1, 2, 3, 4, 6, 7, 9, 10, 11, 13, 14, 15, 8]


def test_a_line_that_failed_has_no_errors_that_follow_from_it() -> None:
    text = "virtual=10.0.0.1:0\n    persistent=O\n    protocol=upd\nvirtual=10.0.0.1:0\n"
    assert all_errors(f"{text}    persistent=9\n", "a.cf") == [2, 3]


WRONG_TOML = """[director]
workers = 100
interfce = "eth0"
[[virtual]]
address = 10.0.0.1:80
protocol = "tcpp"
scheduler = 'x
[[virtual.real]]
address = "10.0.0.2"
weight = -1
[[virtual]]
address = "10.0.0.1:0"
scheduler = "nn"
[[virtual.real]]
adress = "10.0.0.2"
[defaults]
quiescent = "yes"
[defaults]
quiescent = true
"""


def test_all_errors_of_a_toml_file_are_told_in_one_run() -> None:
    assert all_errors(WRONG_TOML, "a.toml") == [2, 3, 5, 6, 7, 10, 11, 13, 15, 17, 18]


def test_a_file_that_is_something_else_does_not_fill_the_log() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("what is this\n" * 1000)
    assert len(str(caught.value).splitlines()) == 52
    assert str(caught.value).endswith("a.cf: error: and 949 more errors")


# ---- Nothing at all ----


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "checktimeout=3\n", "\ufeff", NBSP])
def test_a_file_without_a_service_is_not_fine(text: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.cf"
    path.write_text(text)
    said = CliRunner().invoke(check, [str(path)], **AS_PROGRAM)
    assert (said.exit_code, "fine" in said.stdout) == (0, False)
    assert "warning: no virtual service: nothing is forwarded" in said.stderr


# ---- Import ----


@pytest.mark.parametrize("path", [FLAT, TYPOGRAPHIC], ids=lambda path: path.stem)
def test_the_tutorial_is_imported_as_printed(path: Path) -> None:
    made = imported(path.read_text(), Kind.LDIRECTORD.value)
    config = parse_text(made.toml, path="a.toml")
    assert config.virtuals[0].check.receive == parse(path.read_text()).virtuals[0].check.receive
    assert {line.verdict for line in made.lines} == {Verdict.SAME}


SOUND = b"virtual=10.10.10.60:80\n    real=10.10.10.62:80 gate\n"
NO_TEXTS = [
    pytest.param(SOUND.decode().encode("utf-16-le"), ":1: error: .* save it as UTF-8", id="UTF-16"),
    pytest.param(SOUND.decode().encode("utf-16-be"), ":1: error: .* save it as UTF-8", id="and BE"),
    pytest.param(SOUND + bytes(512), ":3: error: has NUL bytes: is the file damaged", id="NULs"),
    pytest.param(b"# a\0b\n" + SOUND, ":1: error: has NUL bytes", id="one"),
    pytest.param(gzip.compress(SOUND), ":1: error: is not a text file", id="gzip"),
    pytest.param(bytes(range(1, 256)) * 4, ":1: error: is not a text file", id="binary"),
]


@pytest.mark.parametrize(("raw", "said"), NO_TEXTS)
def test_what_is_no_text_is_said_once(raw: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.cf"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert re.search(said, str(refused.value))


WORDS = [
    pytest.param(
        "10.10.10.61-10.10.10.62:80", "a range is written 10.10.10.61->10.10.10.62", id="-"
    ),
    pytest.param(f"{'a' * 64}.example:80", "(not a valid host name)", id="a long label"),
    pytest.param("nosuch.invalid:80", "(name or service not known)", id="unknown"),
]


@pytest.mark.parametrize(("real", "said"), WORDS)
def test_what_is_wrong_with_a_host_is_said_in_words(real: str, said: str) -> None:
    def unknown(host: str, family: int) -> Address:
        host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(ConfigError) as refused:
        load_text(f"virtual=10.10.10.60:80\n    real={real} gate\n", path="a.cf", resolver=unknown)
    assert said in str(refused.value)
    assert "Errno" not in str(refused.value)


def test_a_byte_that_is_no_utf_8_is_shown_as_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown directive 'caf\\xe9'"):
        of(b"caf\xe9=1\n", tmp_path)


def test_a_directive_in_capitals_is_recognised() -> None:
    with pytest.raises(ConfigError, match="did you mean 'virtual'"):
        load_text("VIRTUAL=10.10.10.60:80\n", path="a.cf")
