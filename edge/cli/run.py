"""`run SITE.toml`: the daemon."""

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from edge.cli import EXIT_CONFIGURATION, EXIT_TEMPORARY


@click.command()
@click.argument("site_file", type=click.Path(path_type=Path))
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where the outbox is kept.")
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
@click.option("--debug", is_flag=True, help="Log the rest, too.")
def run(site_file: Path, state_dir: Path | None, credentials_dir: Path | None, *, debug: bool) -> None:
    """Run the daemon for one site until SIGTERM or SIGINT.

    Exit codes: 0 stopped on request, 75 state directory held by another process, 78 site file invalid.
    """
    from edge.control.places import default_state_directory
    from edge.operate.logs import configure_logs
    from edge.settings.credentials import CredentialMissing, credential
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.site import load_settings

    configure_logs(level=logging.DEBUG if debug else logging.INFO)
    try:
        settings = load_settings(site_file)
        name = settings.event_store.credential
        secret = None if name is None else credential(name, directory=credentials_dir)
    except (ConfigurationInvalid, CredentialMissing) as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)

    from edge.gateway import open_gateway
    from edge.storage.errors import DatabaseInUse

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        directory = state_dir or default_state_directory(settings.gateway_id)
        async with open_gateway(settings, state_directory=directory, credential=secret) as gateway:
            await gateway.run(stop)

    try:
        asyncio.run(serve())
    except DatabaseInUse as error:
        click.echo(error, err=True)
        sys.exit(EXIT_TEMPORARY)
