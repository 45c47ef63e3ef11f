"""Random configurations, and how they are written as an ldirectord.cf, every directive in it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from dr_forwarder.config import Alert, Check, CheckType, Config, Fallback, Real, Virtual
from dr_forwarder.config.directives import CHECK_PORTS
from dr_forwarder.config.model import bracketed, endpoint

_V4 = st.ip_addresses(v=4, network="10.0.0.0/8")
_V6 = st.ip_addresses(v=6, network="2001:db8::/32")
_PORTS = st.integers(1, 65535)
_COUNTS = st.integers(1, 2**31 - 1)
_WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-./", min_size=1, max_size=12)
_QUOTED = st.text(
    st.characters(
        codec="utf-8",
        exclude_characters='"#\\\t[](){}*+?|^$',
        categories=("L", "N", "P", "S", "Zs"),
    ),
    min_size=1,
    max_size=20,
).filter(lambda text: text == text.strip() and text.isprintable())
_REQUESTS = _QUOTED.map(lambda text: "/" + text.lstrip("/"))
_INDENTS = ("\t", "    ", " \t", "      ")
_STATUS = st.sets(st.sampled_from(["starting", "running", "stopping", "reloading"]), min_size=1)


@st.composite
def _checks(draw: st.DrawFn) -> Check:
    kind = draw(st.sampled_from(CheckType))
    return Check(
        type=kind,
        connects=draw(st.integers(1, 99)) if kind is CheckType.COMBINED else 0,
        service=draw(st.sampled_from([*CHECK_PORTS, "simpletcp", "none"])),
        port=draw(st.none() | _PORTS),
        command=draw(_WORDS),
        request=draw(_REQUESTS),
        receive=draw(st.just("") | _QUOTED),
        http_method=draw(st.sampled_from(["GET", "HEAD"])),
        virtual_host=draw(st.none() | _WORDS),
        login=draw(_QUOTED),
        password=draw(_QUOTED),
        database=draw(_QUOTED),
        secret=draw(_QUOTED),
        check_timeout_s=draw(_COUNTS),
        negotiate_timeout_s=draw(_COUNTS),
        interval_s=draw(_COUNTS),
        ping_count=draw(_COUNTS),
        failure_count=draw(_COUNTS),
    )


@st.composite
def _reals(draw: st.DrawFn, addresses: st.SearchStrategy[Any]) -> Real:
    asks = draw(st.booleans())
    lower, upper = sorted(draw(st.tuples(*[st.integers(0, 10**6)] * 2)))
    return Real(
        draw(addresses),
        draw(st.just(0) | _PORTS),
        draw(st.integers(0, 65535)),
        draw(_REQUESTS) if asks else None,
        draw(_QUOTED) if asks else None,
        lower,
        upper,
    )


@st.composite
def _virtuals(draw: st.DrawFn) -> Virtual:
    ipv6, is_mark = draw(st.booleans()), draw(st.booleans())
    addresses = _V6 if ipv6 else _V4
    protocol = "fwm" if is_mark else draw(st.sampled_from(["tcp", "udp"]))
    persistent_s = draw(st.none() | st.integers(1, 2_678_400))
    scheduler = draw(st.sampled_from(["rr", "wrr", "wlc", "sh"]))
    return Virtual(
        protocol=protocol,
        address=None if is_mark else draw(addresses),
        port=0 if is_mark else draw(_PORTS),
        fwmark=draw(st.integers(1, 2**32 - 1)) if is_mark else 0,
        ipv6=ipv6,
        real=tuple(draw(st.lists(_reals(addresses), max_size=4))),
        scheduler=scheduler,
        scheduler_flags="sh-port" if scheduler == "sh" and draw(st.booleans()) else None,
        persistent_s=persistent_s,
        netmask=draw(st.none() | (st.just("64") if ipv6 else st.just("255.255.255.0"))),
        one_packet=protocol == "udp" and draw(st.booleans()),
        check=draw(_checks()),
        fallback=draw(st.none() | st.builds(Fallback, addresses, _PORTS)),
        fallback_command=draw(st.none() | _WORDS),
        quiescent=draw(st.booleans()),
        clean_stop=draw(st.booleans()),
        monitor_file=draw(st.none() | _WORDS),
        service_name=draw(st.none() | _WORDS),
        comment=draw(st.none() | _WORDS),
        alert=Alert(
            to=tuple(draw(st.lists(_WORDS, max_size=2))),
            frequency_s=draw(st.integers(0, 1000)),
            status=frozenset(draw(st.just({"all"}) | st.just({"none"}) | _STATUS)),
            smtp=draw(st.none() | _WORDS),
        ),
    )


def _key(virtual: Virtual) -> object:
    return virtual.protocol, virtual.address, virtual.port, virtual.fwmark, virtual.ipv6


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """What every ldirectord.cf can say; what only this program has is left at its defaults."""
    return Config(
        path="a.cf",
        virtuals=tuple(draw(st.lists(_virtuals(), max_size=3, unique_by=_key))),
        readd_quiescent=draw(st.booleans()),
        auto_reload=draw(st.booleans()),
        callback=draw(st.none() | _WORDS),
        log_file=draw(_WORDS),
        execute=tuple(draw(st.lists(_WORDS, max_size=2))),
        supervised=draw(st.booleans()),
        fork=draw(st.booleans()),
        maintenance_dir=draw(st.none() | _WORDS),
    )


def bare(config: Config) -> Config:
    """Without what only tells where something stood."""
    virtuals = tuple(
        replace(
            virtual,
            line=0,
            real=tuple(replace(real, line=0) for real in virtual.real),
            fallback=virtual.fallback and replace(virtual.fallback, line=0),
        )
        for virtual in config.virtuals
    )
    return replace(config, path="", virtuals=virtuals, notices=())


# ---- As an ldirectord.cf ----


def ldirectord_text(config: Config, chance: random.Random) -> str:
    """All directives, in any order and any layout that ldirectord takes."""
    lines = _shuffled(_globals(config), chance, "")
    for virtual in config.virtuals:
        name = "virtual6" if virtual.ipv6 else "virtual"
        lines.append(f"{name}{_equals(chance)}{virtual.name}")
        lines += _shuffled(
            _directives(virtual), chance, chance.choice(["\t", "    ", " \t", "      "])
        )
        lines.append("")
    return "\n".join(lines) + "\n"


def _equals(chance: random.Random) -> str:
    return chance.choice(["=", " = ", "\t=\t", "= "])


def _shuffled(pairs: Iterator[tuple[str, str]], chance: random.Random, indent: str) -> list[str]:
    found = list(pairs)
    # Servers and what is executed keep their order.
    kept = [pair for pair in found if pair[0] in ("real", "real6", "execute")]
    rest = [pair for pair in found if pair not in kept]
    chance.shuffle(rest)
    lines = [f"{indent}{name}{_equals(chance)}{value}" for name, value in (*rest, *kept)]
    for _ in range(chance.randrange(3)):
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(["# comment", "  # comment"]))
    return lines


def _flag(value: bool) -> str:
    return "yes" if value else "no"


def _globals(config: Config) -> Iterator[tuple[str, str]]:
    yield "readdquiescent", _flag(config.readd_quiescent)
    yield "autoreload", _flag(config.auto_reload)
    yield "supervised", _flag(config.supervised)
    yield "fork", _flag(config.fork)
    yield "logfile", f'"{config.log_file}"'
    if config.callback is not None:
        yield "callback", f'"{config.callback}"'
    if config.maintenance_dir is not None:
        yield "maintenancedir", config.maintenance_dir
    yield from (("execute", name) for name in config.execute)


def _directives(virtual: Virtual) -> Iterator[tuple[str, str]]:
    six = "6" if virtual.ipv6 else ""
    yield "protocol", virtual.protocol
    yield "scheduler", virtual.scheduler
    yield "quiescent", _flag(virtual.quiescent)
    yield "cleanstop", _flag(virtual.clean_stop)
    yield "ops", _flag(virtual.one_packet)
    optional = {
        "schedflags": virtual.scheduler_flags,
        "persistent": virtual.persistent_s,
        "netmask": virtual.netmask,
        "fallbackcommand": virtual.fallback_command,
        "monitorfile": virtual.monitor_file,
        "servicename": virtual.service_name,
        "comment": virtual.comment,
        "smtp": virtual.alert.smtp,
        "emailalert": ", ".join(virtual.alert.to) or None,
    }
    yield from ((name, str(value)) for name, value in optional.items() if value is not None)
    yield "emailalertfreq", str(virtual.alert.frequency_s)
    yield "emailalertstatus", ",".join(sorted(virtual.alert.status))
    if virtual.fallback is not None:
        spare = virtual.fallback
        yield f"fallback{six}", f"{endpoint(spare.address, spare.port)} gate"
    yield from _check_directives(virtual.check)
    yield from ((f"real{six}", _server(real)) for real in virtual.real)


def _check_directives(check: Check) -> Iterator[tuple[str, str]]:
    yield "checktype", str(check.connects) if check.connects else check.type.value
    yield "service", check.service
    yield "checkcommand", check.command
    yield "httpmethod", check.http_method
    yield "checktimeout", str(check.check_timeout_s)
    yield "negotiatetimeout", str(check.negotiate_timeout_s)
    yield "checkinterval", str(check.interval_s)
    yield "checkcount", str(check.ping_count)
    yield "failurecount", str(check.failure_count)
    if check.port is not None:
        yield "checkport", str(check.port)
    if check.virtual_host is not None:
        yield "virtualhost", check.virtual_host
    quoted = {
        "request": check.request,
        "receive": check.receive,
        "login": check.login,
        "passwd": check.password,
        "database": check.database,
        "secret": check.secret,
    }
    yield from ((name, f'"{value}"') for name, value in quoted.items() if value)


def _server(real: Real) -> str:
    where = endpoint(real.address, real.port) if real.port else bracketed(real.address)
    words = [where, "gate", str(real.weight)]
    if real.request is not None:
        words.append(f'"{real.request}", "{real.receive}"')
    if real.lower:
        words.append(f"l:{real.lower}")
    if real.upper:
        words.append(f"u:{real.upper}")
    return " ".join(words)
