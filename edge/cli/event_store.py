"""`event-store`: the embedded event store as a process."""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

import click

from edge.cli import EXIT_FAILED, EXIT_TEMPORARY


@click.command("event-store")
@click.option("--listen", default="127.0.0.1:2113", show_default=True, metavar="HOST:PORT", help="Port 0: a free one.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the streams are kept. Default: $STATE_DIRECTORY, else in memory.",
)
def event_store(listen: str, state_dir: Path | None) -> None:
    """Run the embedded event store until SIGTERM or SIGINT; its URI is the first line of the output.

    It speaks EventStoreDB's protocol, without TLS and access control: enough for a demo and for one lonely site.

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
