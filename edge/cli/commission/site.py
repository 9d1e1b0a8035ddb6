"""What the commissioning verbs need of a site file: its settings, a connection of it, and what its drivers may know."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from drivers import DriverUnknown, foreign_code
from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED
from edge.domain.by_hand import Undecodable
from edge.domain.commissioning import AnswerWrong, WishImpossible
from edge.domain.driver import DriverContext, DriverError, DriverMisconfigured
from edge.domain.settings import ConnectionSettings, Settings
from edge.operate.logs import configure_logs
from edge.settings.credentials import CredentialMissing, credential
from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import load_settings


def log_errors_only() -> None:
    """Keep what drivers log from the results: these verbs say themselves what went wrong."""
    configure_logs(level=logging.ERROR)


def load(site_file: Path) -> Settings:
    """Read the site file; leaves with its mistakes and exit code 78 if it has any."""
    try:
        return load_settings(site_file)
    except ConfigurationInvalid as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)


def connection_of(settings: Settings, connection_id: str) -> ConnectionSettings:
    """Return a connection by its id. Raises click.UsageError, naming those there are."""
    for connection in settings.connections:
        if connection.id == connection_id:
            return connection
    known = ", ".join(connection.id for connection in settings.connections)
    raise click.UsageError(f"there is no connection {connection_id!r}; there are: {known}")


def context_of(settings: Settings, credentials_directory: Path | None) -> DriverContext:
    """Say what drivers may know of the gateway, outside of it."""
    folder = settings.file.resolve().parent
    return outside_context(settings.gateway_id, settings.site.time_zone, folder, credentials_directory)


def outside_context(gateway_id: str, time_zone: str, folder: Path, credentials_directory: Path | None) -> DriverContext:
    """Make a context for drivers that no daemon owns. Looking up a credential raises DriverMisconfigured."""

    def look_up(name: str) -> str:
        try:
            return credential(name, directory=credentials_directory)
        except CredentialMissing as error:
            raise DriverMisconfigured(str(error)) from error

    return DriverContext(gateway_id=gateway_id, time_zone=time_zone, folder=folder, credential=look_up)


@contextmanager
def hook(driver: str, name: str) -> Iterator[None]:
    """Run a hook of a driver. Allowed errors pass; a third party's bug becomes DriverUnknown, which names it."""
    usual = (asyncio.CancelledError, DriverError, WishImpossible, AnswerWrong, Undecodable)
    with foreign_code(driver, f"broke on its hook {name}", passing=usual):
        yield


@contextmanager
def hook_at_work(driver: str, name: str) -> Iterator[None]:
    """Run a hook of a driver; a wish that cannot be is a usage error, and a third party's bug ends the verb."""
    try:
        with hook(driver, name):
            yield
    except WishImpossible as error:
        if not error.wish:
            raise click.UsageError(str(error)) from error
        raise click.BadParameter(str(error), param_hint=f"--{error.wish.replace('_', '-')}") from error
    except DriverUnknown as error:
        click.echo(error, err=True)
        sys.exit(EXIT_FAILED)
