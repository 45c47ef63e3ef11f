"""Secrets: shown to nobody who has not asked for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dr_forwarder.config.secrecy import without_passwords

FILE = """
virtual=10.0.0.1:80
\treal=10.0.0.2:80 gate 1 "http://me:hunter2@10.0.0.9/a", "x"
\tservice=http
\trequest="http://me:hunter2@10.0.0.2/b"
virtual=10.0.0.1:1812
\treal=10.0.0.3:1812 gate
\tprotocol=udp
\tservice=radius
\tlogin="me"
\tpasswd="hunter2"
\tsecret="hunter2"
virtual=10.0.0.1:81
\treal=10.0.0.2:81 gate
\tchecktype=external
\tcheckcommand="/bin/true http://me:hunter2@10.0.0.2/"
"""


def check(tmp_path: Path, *options: str) -> str:
    path = tmp_path / "a.cf"
    path.write_text(FILE)
    command = [sys.executable, "-m", "dr_forwarder", "check", str(path), *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_check_hides_passwords_also_within_urls(tmp_path: Path, options: tuple[str, ...]) -> None:
    said = check(tmp_path, *options)
    assert "hunter2" not in said
    assert "http://me:********@10.0.0.2/b" in said


def test_check_shows_them_to_whom_asks(tmp_path: Path) -> None:
    said = json.loads(check(tmp_path, "--json", "--show-secrets"))
    assert said["virtuals"][1]["passwd"] == said["virtuals"][1]["secret"] == "hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://a:b@c/", "http://a:********@c/"),
        ("no answer from ldap://a:b@c:389/x?y", "no answer from ldap://a:********@c:389/x?y"),
        ("http://a:b@c@d/", "http://a:********@d/"),
        ("http://c:80/a@b", "http://c:80/a@b"),
        ("sip:a@b", "sip:a@b"),
        ("x http://a:b@c http://d:e@f", "x http://a:********@c http://d:********@f"),
    ],
)
def test_a_text_is_shown_without_passwords_of_urls(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
