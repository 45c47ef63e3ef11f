"""Program: the commands of `dr-forwarder`, each imported when it is used."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "run": ("run", "Run the director for a configuration file."),
    "check": ("check", "Parse a configuration file and explain it; nothing is started."),
    "import": ("import_", "Write another director's file as native TOML."),
    "list": ("list", "Show the running director's table in ipvsadm's text."),
    "top": ("top", "Watch the running director live, and drain servers by keys."),
    "trace": ("trace", "Show what the running director decides, frame by frame, and why."),
    "replay": ("replay", "Decide on the frames of a capture file, without privileges."),
    "drain": ("drain", "Give a real server no new connections, and end the others in time."),
    "disable": ("drain:disable", "Take a real server out at once."),
    "enable": ("drain:enable", "Take a real server back."),
    "takeover": ("takeover", "Have a director that stands by take the VIPs."),
    "standby": ("takeover:standby", "Have a director leave the VIPs to another one."),
    "bench": ("bench", "Measure the director on this host, beside what else the host has."),
    "lab": ("lab", "The one-machine network to try, learn and test with."),
}


class _Program(click.Group):
    """Imports a command's module when it is used: `list` must not wait for what `run` needs."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name][0].partition(":")
        imported = importlib.import_module(f".{module}", __package__)
        command: click.Command = getattr(imported, attribute or "command")
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in _COMMANDS.items()])


def _print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    import importlib.metadata  # late: nothing else needs it

    try:
        version = importlib.metadata.version("dr-forwarder")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    click.echo(f"dr-forwarder, version {version}")
    context.exit()


@click.command(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def program() -> None:
    """A director (load balancer) for LVS direct routing that needs no kernel IPVS.

    Start with `dr-forwarder lab demo`: a whole cluster on this machine, and what it does.
    """
