"""`events`: the central streams, as any other service sees them."""

import asyncio
import base64
import json
import logging
import os
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import structlog

from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_TEMPORARY, EXIT_USAGE

# Programs that read the lines have a limit as well; jq's is 256.
DEPTH_MAX = 64

if TYPE_CHECKING:
    from edge.domain.event import Json, RecordedEvent
    from edge.domain.settings import EventStoreSettings, Settings


@click.group()
def events() -> None:
    """Read the central streams."""


@events.command()
@click.argument("site_file", type=click.Path(path_type=Path), required=False)
@click.option("--uri", help="The event store, instead of a site file's: esdb://HOST:PORT?tls=false")
@click.option("--stream", "streams", multiple=True, help="Only this stream; may be given again.")
@click.option("--follow", is_flag=True, help="Go on as events come, over restarts of the store.")
@click.option("--json", "_as_json", is_flag=True, help="One JSON object per line: the only format there is.")
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
def tail(
    site_file: Path | None,
    uri: str | None,
    streams: tuple[str, ...],
    credentials_dir: Path | None,
    *,
    follow: bool,
    _as_json: bool,
) -> None:
    """Print events, one JSON object per line: id, stream, revision, type, data, metadata.

    With SITE_FILE the site's own streams; with --uri all streams, in the store's order. Without either, the site of the
    only daemon that runs here. Ends when all there was is printed, unless --follow.

    Exit codes: 0 done, 1 access refused, 2 usage, 75 the store cannot be reached, 78 site file or URI invalid.
    """
    from edge.domain.event_store import AccessRefused, CredentialRefused, EventStoreError, EventStoreMisconfigured

    store, own_streams, credential = _wanted(site_file, uri, credentials_dir)
    try:
        # Only a signal cancels it.
        with suppress(asyncio.CancelledError):
            asyncio.run(_tail(store, streams, own_streams, credential, follow=follow))
    except BrokenPipeError:
        # `| head` has what it wanted. Python would flush into the closed pipe at its exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except EventStoreMisconfigured as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)
    except (AccessRefused, CredentialRefused) as error:
        click.echo(f"the event store refused access: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except EventStoreError as error:
        click.echo(f"the event store cannot be read: {error}", err=True)
        sys.exit(EXIT_TEMPORARY)


def _wanted(
    site_file: Path | None, uri: str | None, credentials_dir: Path | None
) -> "tuple[EventStoreSettings, Sequence[str], str | None]":
    """Find the store, the site's own streams (none = all) and the credential. Leaves with an exit code otherwise."""
    from edge.domain.settings import EventStoreSettings

    if uri is not None:
        if site_file is not None:
            raise click.UsageError("a site file or --uri, not both")
        return EventStoreSettings(uri=uri), (), None

    from edge.settings.credentials import CredentialMissing, credential
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.site import load_settings

    try:
        settings = load_settings(site_file or _running_site_file())
        name = settings.event_store.credential
        secret = None if name is None else credential(name, directory=credentials_dir)
    except (ConfigurationInvalid, CredentialMissing) as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)
    return settings.event_store, _own_streams(settings), secret


def _running_site_file() -> Path:
    from edge.control.client import DaemonAmbiguous, DaemonNotFound, find_daemon

    try:
        return Path(find_daemon().site_file)
    except DaemonNotFound:
        raise click.UsageError("name a site file or --uri (no daemon is running here)") from None
    except DaemonAmbiguous as error:
        click.echo(error, err=True)
        sys.exit(EXIT_USAGE)


def _own_streams(settings: "Settings") -> list[str]:
    """List the streams this site writes or obeys."""
    templates = settings.streams
    names = [
        templates.sensor_readings.format(site=settings.site.id, gateway=settings.gateway_id, device=device.id)
        for device in settings.devices()
    ]
    names += [
        template.format(site=settings.site.id, gateway=settings.gateway_id)
        for template in (
            templates.gateway,
            templates.configuration,
            templates.configuration_status,
            templates.recipes,
        )
    ]
    # Devices may share one stream.
    return list(dict.fromkeys(names))


async def _tail(
    settings: "EventStoreSettings",
    named: Sequence[str],
    own: Sequence[str],
    credential: str | None,
    *,
    follow: bool,
) -> None:
    from edge.event_store.client import open_event_store
    from edge.event_store.tail import Tail

    # Lines of a log would stand between the events.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    reading = asyncio.current_task()
    assert reading is not None
    # Ctrl-C is how following ends; it is no failure.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, reading.cancel)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reading.cancel)
    async with open_event_store(settings, credential=credential) as store:
        wanted = Tail(
            store,
            write=_print,
            note=lambda text: click.echo(text, err=True),
            chance=random.random,
            follow=follow,
        )
        if named:
            await wanted.streams(named)
        elif own:
            # A site need not have got an update yet, or have any recipe.
            await wanted.streams(own, may_be_missing=True)
        else:
            await wanted.everything()


def _print(event: "RecordedEvent") -> None:
    sys.stdout.write(event_line(event) + "\n")
    sys.stdout.flush()


def event_line(event: "RecordedEvent") -> str:
    """Return an event as one line of JSON, whatever its writer put into it."""
    fields: dict[str, Json] = {
        "id": str(event.event_id),
        "stream": event.stream,
        "revision": event.revision,
        "type": event.type,
    }
    texts = [json.dumps(fields, ensure_ascii=False)[:-1], _content("data", event.data)]
    return ", ".join([*texts, _content("metadata", event.metadata)]) + "}"


def _content(name: str, content: bytes) -> str:
    """Show JSON as it is; anything else, which other writers may store, as base64 under a name that says so."""
    from edge.domain.foreign_json import read_json

    if not content:
        return f'"{name}": null'
    try:
        # NaN and Infinity can be read, and are not JSON: writing them raises ValueError.
        return f'"{name}": ' + json.dumps(read_json(content, depth_max=DEPTH_MAX), ensure_ascii=False, allow_nan=False)
    except ValueError:
        return f'"{name}": null, "{name}Base64": "{base64.b64encode(content).decode()}"'
