"""`event-store`: the embedded event store as a process."""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

import click

from edge.cli import EXIT_FAILED, EXIT_TEMPORARY

# `\b` keeps click from joining the lines of what follows.
_ANSWERED = """\
\b
Answered as by a server of the 24.10 line:
  appends             Append and BatchAppend, exact, NO_STREAM, ANY, EXISTS;
                      an append that is sent again is recognised
  reads               of a stream and of $all, both ways, $all with filters
  subscriptions       catch-up, to a stream and to $all, with filters
  deletions           soft ones and tombstones
  stream metadata     $tb, $maxCount and $maxAge, in strict JSON
  other calls         Gossip (one member), ServerFeatures

\b
Refused as unknown (UNIMPLEMENTED):
  persistent subscriptions; projections, hence no $ce- and $et- streams;
  users; operations (scavenge, shutdown); monitoring;
  appends to several streams at once

\b
Taken, and done in another way than by a server:
  $acl and users      everybody may do everything
  links               are shown as they stand; none is followed
  disk space          what is deleted or truncated is hidden, and stays
  deadlines           of a single append are not looked at
  HTTP, web page      only gRPC is spoken
  odd requests        an id without dashes, a name that is no UTF-8, a
                      position between two events, a call without an
                      option that clients always send: a server may
                      answer such a one in another way
"""


@click.command("event-store", epilog=_ANSWERED)
@click.option("--listen", default="127.0.0.1:2113", show_default=True, metavar="HOST:PORT", help="Port 0: a free one.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the streams are kept. Default: $STATE_DIRECTORY, else in memory.",
)
def event_store(listen: str, state_dir: Path | None) -> None:
    """Run the embedded event store until SIGTERM or SIGINT; its URI is the first line of the output.

    It speaks EventStoreDB's protocol, without TLS and access control: enough for a demo and for one lonely site.
    Clients of EventStoreDB and KurrentDB in any language may use it, by esdb://, esdb+discover:// and newer names.

    Exit codes: 0 stopped on request, 75 the port or the directory is held by another process.
    """
    from edge.operate.logs import configure_logs

    configure_logs()
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65_536):
        raise click.BadParameter(f"{listen!r} is not HOST:PORT", param_hint="--listen")
    if state_dir is None and os.environ.get("STATE_DIRECTORY"):
        state_dir = Path(os.environ["STATE_DIRECTORY"])
    sys.exit(asyncio.run(_serve((host, int(port)), state_dir)))


async def _serve(listen: tuple[str, int], state_directory: Path | None) -> int:
    from edge.event_store.embedded.database import DirectoryInUse
    from edge.event_store.embedded.server import serve

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with serve(listen, state_directory) as store:
            click.echo(store.uri)
            click.echo(
                f"streams are kept in {state_directory}"
                if state_directory
                else "streams are in memory: gone at the end",
                err=True,
            )
            await stop.wait()
    except DirectoryInUse as error:
        click.echo(error, err=True)
        return EXIT_TEMPORARY
    except sqlite3.Error as error:
        click.echo(f"the streams in {state_directory} cannot be opened: {error}", err=True)
        return EXIT_FAILED
    except OSError as error:
        click.echo(error, err=True)
        return EXIT_TEMPORARY
    return 0
