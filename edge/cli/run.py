"""`run SITE.toml`: the daemon."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_TEMPORARY

if TYPE_CHECKING:
    from edge.domain.settings import Settings


@click.command()
@click.argument("site_file", type=click.Path(path_type=Path))
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where the outbox is kept.")
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
@click.option("--debug", is_flag=True, help="Log the rest, too.")
def run(site_file: Path, state_dir: Path | None, credentials_dir: Path | None, *, debug: bool) -> None:
    """Run the daemon for one site until SIGTERM or SIGINT.

    Exit codes: 0 stopped on request, 1 the outbox's file is damaged or a newer release's, 75 the state directory is
    held by another process, or the disk does not give it or the directory for the control socket, 78 the site file, a
    credential or a certificate is wrong.
    """
    from edge.operate.garbage import look_less_often

    # Before the imports below, which make a hundred thousand objects.
    look_less_often()
    from edge.control.places import default_state_directory
    from edge.operate.logs import configure_logs
    from edge.settings.credentials import CredentialMissing, credential
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.site import load_settings

    configure_logs(level=logging.DEBUG if debug else logging.INFO)
    find_credential = partial(credential, directory=credentials_dir)
    try:
        settings = load_settings(site_file)
        name = settings.event_store.credential
        secret = None if name is None else find_credential(name)
        _look_up_all(settings, find_credential)
    except (ConfigurationInvalid, CredentialMissing) as error:
        _leave(error, EXIT_CONFIGURATION)

    _run(settings, state_dir or default_state_directory(settings.gateway_id), secret, find_credential)


def _look_up_all(settings: "Settings", find_credential: Callable[[str], str]) -> None:
    """Look up what the connections name, before anything is opened. Raises CredentialMissing, naming the connection."""
    from edge.settings.credentials import CredentialMissing

    for connection in settings.connections:
        name = getattr(connection.options, "credential", None)
        try:
            if isinstance(name, str):
                find_credential(name)
        except CredentialMissing as error:
            raise CredentialMissing(f"{settings.file}: connection {connection.id!r}: {error}") from error


def _run(
    settings: "Settings", state_directory: Path, secret: str | None, find_credential: Callable[[str], str]
) -> None:
    from edge.control.places import RuntimeDirectoryUnusable
    from edge.domain.driver import DriverMisconfigured
    from edge.domain.event_store import EventStoreMisconfigured
    from edge.storage.errors import CommitFailed, DatabaseInUse, StorageError

    try:
        with _alone(StorageError):
            asyncio.run(_serve(settings, state_directory, secret, find_credential))
    except (DatabaseInUse, CommitFailed, RuntimeDirectoryUnusable) as error:
        _leave(error, EXIT_TEMPORARY)
    except StorageError as error:
        _leave(error, EXIT_FAILED)
    except EventStoreMisconfigured as error:
        _leave(f"{settings.file}: event_store: {error}", EXIT_CONFIGURATION)
    except DriverMisconfigured as error:
        _leave(f"{settings.file}: {error}", EXIT_CONFIGURATION)


async def _serve(
    settings: "Settings", state_directory: Path, secret: str | None, find_credential: Callable[[str], str]
) -> None:
    from edge.gateway.compose import open_gateway
    from edge.operate.garbage import look_less_often
    from edge.operate.threads import UnawaitedThreads

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A name that no server resolves must not delay the opening of another connection, nor the stop.
    loop.set_default_executor(UnawaitedThreads())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_gateway(
        settings, state_directory=state_directory, credential=secret, find_credential=find_credential
    ) as gateway:
        look_less_often()
        await gateway.run(stop)


@contextmanager
def _alone(kind: type[Exception]) -> Iterator[None]:
    """Take an error out of the groups in which the tasks' parents raise it, if all errors in them are of its kind."""
    try:
        yield
    except BaseExceptionGroup as group:
        inner: BaseException = group
        while isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        if group.split(kind)[1] is not None:
            raise
        raise inner from group


def _leave(error: object, code: int) -> NoReturn:
    click.echo(error, err=True)
    sys.exit(code)
