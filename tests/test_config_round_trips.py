"""What a configuration says comes back as it was, whatever its layout and order."""

from __future__ import annotations

import random

from configurations import bare, configs, ldirectord_text
from hypothesis import given
from hypothesis import strategies as st
from test_config_ldirectord import parse, resolver, service_ports, strict
from test_importing import imported
from test_plan import PATIENT

from dr_forwarder.config import Config, parse_text
from dr_forwarder.importing import Verdict


@PATIENT
@given(configs(), st.randoms(use_true_random=False))
def test_an_ldirectord_cf_says_what_was_written(config: Config, chance: random.Random) -> None:
    text = ldirectord_text(config, chance)
    found = parse(text)
    assert bare(found) == bare(config), text
    assert strict(found) == []


@PATIENT
@given(configs(), st.randoms(use_true_random=False))
def test_as_toml_it_says_the_same(config: Config, chance: random.Random) -> None:
    text = ldirectord_text(config, chance)
    made = imported(text, "ldirectord")
    found = parse_text(
        made.toml, path="a.toml", resolver=resolver, service_ports=service_ports, host_name="d"
    )
    assert bare(found) == bare(config), made.toml
    assert all(line.verdict is not Verdict.NOT_DR for line in made.lines)
    said = [n for n, line in enumerate(text.split("\n"), 1) if line.strip(" \t#coment")]
    assert [line.number for line in made.lines] == said
