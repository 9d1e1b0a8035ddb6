"""The command line: one file per verb group, imported only when its verb is used (`--help` must not import grpc)."""

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from edge import __version__

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TEMPORARY = 75
EXIT_CONFIGURATION = 78

# verb -> (where its command is, what it does). The sentence stands here so that --help imports nothing.
VERBS: dict[str, tuple[str, str]] = {
    "run": ("edge.cli.run:run", "Run the daemon for one site."),
    "demo": ("edge.cli.demo:demo", "Show a whole site on this machine: store, devices, daemon, live view."),
    "init": ("edge.cli.commission.init:init", "Write a first site file from answers and from what is found."),
    "check": ("edge.cli.check:check", "Say every mistake of a site file, with its line."),
    "schema": ("edge.cli.check:schema", "Print the JSON Schema of site files or profiles."),
    "read": ("edge.cli.commission.read:read", "Read devices now."),
    "scan": ("edge.cli.commission.scan:scan", "Look who is there on a connection."),
    "probe": ("edge.cli.commission.probe:probe", "Show registers in every type and order side by side."),
    "decode": ("edge.cli.commission.decode:decode", "Decode a frame, registers, a line or a payload by hand."),
    "profiles": ("edge.cli.commission.profiles:profiles", "List the device models that are known, or show one."),
    "status": ("edge.cli.status:status", "Ask the running daemon how it is."),
    "configure": ("edge.cli.configure:configure", "Change a device's configuration through the event store."),
    "events": ("edge.cli.events:events", "Read the central streams."),
    "contract": ("edge.cli.contract:contract", "List or write what is published for other services."),
    "event-store": ("edge.cli.event_store:event_store", "Run the embedded event store."),
    "simulate": ("edge.cli.simulate:simulate", "Serve simulated devices for a site file."),
    "bench": ("edge.cli.bench:bench", "Measure the published figures on this machine."),
}


class LazyGroup(click.Group):
    """Knows every verb's name and sentence; imports a verb's file when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the verbs in the order of the table, which is the order of a first day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the verb's command."""
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, sentence) for verb, (_, sentence) in VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="greenhouse-edge", message="%(prog)s %(version)s")
def greenhouse_edge() -> None:
    """The edge gateway of a greenhouse: reads sensors, keeps every sample, forwards each exactly once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    try:
        greenhouse_edge.main(args=None if arguments is None else list(arguments), prog_name="greenhouse-edge")
    except BrokenPipeError:  # `greenhouse-edge events tail … | head` is finished, not failed
        sys.stderr.close()
        sys.exit(0)
