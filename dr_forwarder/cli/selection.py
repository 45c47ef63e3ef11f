"""Options by which `trace` and `replay` choose frames; what they mean is `records`'."""

from __future__ import annotations

from dataclasses import dataclass

import click

from .. import records
from ..records import Filter
from .options import together


@dataclass(frozen=True, slots=True)
class Selection:
    """What was said on the command line."""

    client: str | None
    service: str | None
    server: str | None
    verdict: tuple[str, ...]
    first: bool
    sample: int | None

    def filter(self, known: tuple[str, ...], *, per_s: int = 0) -> Filter:
        """Of verdicts that are ``known``; raises click's usage error with the option's name."""
        said = {
            "client": self.client or "",
            "service": self.service or "",
            "server": self.server or "",
            "verdict": ",".join(self.verdict),
            "first": "1" if self.first else "",
            "every": "" if self.sample is None else str(self.sample),
            "per_s": str(per_s),
        }
        try:
            return records.from_query({k: v for k, v in said.items() if v}, known=known)
        except ValueError as error:
            option, _, reason = str(error).partition(": ")
            names = {"every": "sample", "per_s": "rate"}
            raise click.UsageError(f"--{names.get(option, option)}: {reason}") from error


selecting = together(
    "selection",
    Selection,
    (
        click.option(
            "--client", metavar="ADDRESS", help="Of this client, or this network of them."
        ),
        click.option(
            "--service", metavar="SERVICE", help="For 10.0.0.1, 10.0.0.1:80 or udp:10.0.0.1:53."
        ),
        click.option("--server", metavar="ADDRESS", help="Which had to do with this real server."),
        click.option(
            "--verdict", metavar="NAME", multiple=True, help="That ended so; may be given again."
        ),
        click.option("--first", is_flag=True, help="Only those that begin a connection."),
        click.option("--sample", metavar="N", type=int, help="One in N of them."),
    ),
)
