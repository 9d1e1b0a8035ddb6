"""`configure`: change how a device is run, through the event store, and see what the gateway says to it."""

import asyncio
import getpass
import json
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click
import structlog

from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_TEMPORARY
from edge.domain.settable import Part, settables

if TYPE_CHECKING:
    from edge.configure.producer import Asked, Request
    from edge.configure.reading import Document
    from edge.domain.event import Json
    from edge.domain.facts import Answer
    from edge.domain.settings import DeviceSettings, EventStoreSettings, Settings

# A gateway that is there answers within a second or two.
TIMEOUT_S = 30.0


def _settable_paths() -> str:
    of_device = [row.key for row in settables(Part.DEVICE)]
    of_point = [f".{row.key}" for row in settables(Part.POINT)]
    return ", ".join([*of_device, f"points.POINT{of_point[0]}", *of_point[1:]])


HELP = f"""Change how DEVICE is run, and wait for the gateway's answer.

What can be set: {_settable_paths()}. For example --set pollIntervalS=1 --set points.air_temperature.offset=-0.3 --set
enabled=false. The rest stays as the newest update that was not rejected has it.

Exit codes: 0 applied, 1 rejected, 2 usage, 75 the store cannot be reached or the gateway did not answer in time, 78
site file invalid.
"""


@click.command(help=HELP)
@click.argument("site_file", type=click.Path(path_type=Path))
@click.argument("device_id", metavar="DEVICE")
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="May be given again.")
@click.option("--unset", "removals", multiple=True, metavar="PATH", help="Back to the site file's value.")
@click.option("--file", "document_file", type=click.File(encoding="utf-8"), help="The whole configuration, as JSON.")
@click.option("--reason", help="Why, for the log.")
@click.option("--by", "changed_by", help="Who; the user and host by default.")
@click.option("--valid-until", metavar="TIME", help="Not applied after this time: 2026-11-23T12:00:00+01:00")
@click.option("--dry-run", is_flag=True, help="Show the update and what the site file says to it; append nothing.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=TIMEOUT_S, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--uri", help="The event store, instead of the site file's.")
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
def configure(  # noqa: PLR0917 - click's signature
    site_file: Path,
    device_id: str,
    assignments: tuple[str, ...],
    removals: tuple[str, ...],
    document_file: TextIO | None,
    reason: str | None,
    changed_by: str | None,
    valid_until: str | None,
    timeout_s: float,
    uri: str | None,
    credentials_dir: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Change how a device is run, and wait for the gateway's answer."""
    settings, store, credential = _load(site_file, uri, credentials_dir)
    device = _device(settings, device_id)
    edits = _edits(device, assignments, removals, document_file)
    if settings.site.require_reason and not reason:
        raise click.UsageError("this site demands --reason")
    request = _request(device, edits, _remarks(settings, changed_by, reason, valid_until))
    asked, answer = _carried_out(_ask(store, credential, settings, request, timeout_s=None if dry_run else timeout_s))
    if dry_run:
        sys.exit(_tell_draft(asked, device, as_json=as_json))
    sys.exit(_tell(asked, answer, timeout_s=timeout_s, as_json=as_json))


def _load(
    site_file: Path, uri: str | None, credentials_dir: Path | None
) -> "tuple[Settings, EventStoreSettings, str | None]":
    """Read the site file and find the store. Leaves with an exit code otherwise."""
    from edge.domain.settings import EventStoreSettings
    from edge.settings.credentials import CredentialMissing, credential
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.site import load_settings

    try:
        settings = load_settings(site_file)
        if uri is not None:
            return settings, EventStoreSettings(uri=uri), None
        name = settings.event_store.credential
        secret = None if name is None else credential(name, directory=credentials_dir)
    except (ConfigurationInvalid, CredentialMissing) as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)
    return settings, settings.event_store, secret


def _device(settings: "Settings", device_id: str) -> "DeviceSettings":
    from edge.domain.device_group import possible_member

    for device in settings.devices():
        if device.id == device_id:
            return device
    adopted = possible_member(settings.connections, device_id)
    if adopted is not None:
        return adopted
    known = ", ".join(device.id for device in settings.devices())
    raise click.UsageError(f"the site file has no device {device_id}; it has {known}")


def _edits(
    device: "DeviceSettings",
    assignments: Sequence[str],
    removals: Sequence[str],
    document_file: TextIO | None,
) -> "Callable[[Document], dict[str, Json]]":
    """Return what gives the new document from the newest one."""
    from edge.configure.edit import EditMistaken, edited, parse_assignment, parse_path

    if document_file is None and not assignments and not removals:
        raise click.UsageError("nothing to change: give --set, --unset or --file")
    given = None if document_file is None else _document(document_file)
    try:
        assign = dict(parse_assignment(text, device) for text in assignments)
        remove = [parse_path(text, device) for text in removals]
    except EditMistaken as error:
        raise click.UsageError(str(error)) from error
    return lambda newest: edited(newest if given is None else given, assign=assign, remove=remove)


def _document(file: TextIO) -> "Document":
    from edge.configure.reading import DEPTH_MAX
    from edge.domain.author import encode_json
    from edge.domain.foreign_json import read_json

    try:
        document = cast("Json", read_json(file.read().encode(), depth_max=DEPTH_MAX))
        # NaN and Infinity can be read, and are not JSON: writing them raises ValueError.
        encode_json(document)
    except ValueError as error:
        raise click.UsageError(f"--file: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError('--file: the configuration is an object: {"enabled": true, "pollIntervalS": 10}')
    return document


def _remarks(
    settings: "Settings", changed_by: str | None, reason: str | None, valid_until: str | None
) -> "dict[str, Json]":
    from edge.domain.clock import unix_ms_of

    if valid_until is not None:
        try:
            unix_ms_of(valid_until)
        except ValueError as error:
            raise click.UsageError(f"--valid-until: {error}") from error
    remarks = {
        "gatewayId": settings.gateway_id,
        "validUntil": valid_until,
        "changedBy": changed_by or f"{_user()}@{socket.gethostname()}",
        "reason": reason,
    }
    return {key: value for key, value in remarks.items() if value is not None}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may give its user no name
        return "unknown"


def _request(
    device: "DeviceSettings", edit: "Callable[[Document], dict[str, Json]]", remarks: "dict[str, Json]"
) -> "Request":
    from uuid import uuid4

    from edge import __version__
    from edge.configure.producer import Request

    return Request(
        device_id=device.id,
        edit=edit,
        remarks=remarks,
        event_id=uuid4(),
        correlation_id=uuid4(),
        producer=f"greenhouse-edge/{__version__}",
    )


async def _ask(
    store: "EventStoreSettings",
    credential: str | None,
    settings: "Settings",
    request: "Request",
    *,
    timeout_s: float | None,
) -> "tuple[Asked, Answer | None]":
    """Append the update and wait for its answer; without a time-out only compose it."""
    from edge.configure.producer import Streams, ask, compose, wait_for_answer
    from edge.event_store.client import open_event_store

    # Lines of a log would stand between the results.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    names = settings.streams
    streams = Streams(
        configuration=names.configuration.format(site=settings.site.id, gateway=settings.gateway_id),
        status=names.configuration_status.format(site=settings.site.id, gateway=settings.gateway_id),
    )
    async with open_event_store(store, credential=credential) as event_store:
        if timeout_s is None:
            return await compose(event_store, streams, request), None
        asked = await ask(event_store, streams, request)
        try:
            async with asyncio.timeout(timeout_s):
                return asked, await wait_for_answer(event_store, streams, asked)
        except TimeoutError:
            return asked, None


def _carried_out(
    work: "Coroutine[None, None, tuple[Asked, Answer | None]]",
) -> "tuple[Asked, Answer | None]":
    """Run it; leave with an exit code where the event store is the problem."""
    from edge.configure.producer import RequestContested
    from edge.domain.event_store import (
        AccessRefused,
        CredentialRefused,
        EventStoreError,
        EventStoreMisconfigured,
        OutcomeUnknown,
    )

    code = EXIT_TEMPORARY
    try:
        return asyncio.run(work)
    except EventStoreMisconfigured as error:
        code, message = EXIT_CONFIGURATION, str(error)
    except (AccessRefused, CredentialRefused) as error:
        code, message = EXIT_FAILED, f"the event store refused access: {error}"
    except RequestContested as error:
        message = f"{error}; try again"
    except OutcomeUnknown as error:
        message = f"the event store did not say whether it took the update: {error}"
    except EventStoreError as error:
        message = f"the event store cannot be reached: {error}"
    click.echo(message, err=True)
    sys.exit(code)


def _tell_draft(asked: "Asked", device: "DeviceSettings", *, as_json: bool) -> int:
    """Show the update, and what is wrong with it as far as the site file tells."""
    from edge.configure.judge import resolve

    configuration = asked.data["configuration"]
    assert isinstance(configuration, dict), "composed as an object"
    mistakes = resolve(configuration, device).mistakes
    errors = [{"path": mistake.path, "code": mistake.code, "message": mistake.message} for mistake in mistakes]
    if as_json:
        click.echo(json.dumps({"outcome": "draft", "update": asked.data, "errors": errors}, ensure_ascii=False))
    else:
        click.echo(json.dumps(asked.data, indent=2, ensure_ascii=False))
        for error in errors:
            click.echo(f"{error['code']}: {error['message']}", err=True)
    return EXIT_FAILED if errors else 0


def _tell(asked: "Asked", answer: "Answer | None", *, timeout_s: float, as_json: bool) -> int:
    """Print the answer; return the exit code."""
    from edge.domain.facts import DeviceConfigurationApplied
    from edge.domain.json_form import json_of

    about = {"updateEventId": str(asked.event.event_id), **_ids(asked)}
    if answer is None:
        outcome, facts, code = "unanswered", {}, EXIT_TEMPORARY
        lines = [f"no answer to version {about['configVersion']} of {about['deviceId']} within {timeout_s:g} s"]
        lines += ["the gateway is offline; it will answer when it is back"]
    elif isinstance(answer, DeviceConfigurationApplied):
        changes = [json_of(change) for change in answer.changes]
        outcome, facts, code = "applied", {"changes": changes}, 0
        lines = [f"applied: version {answer.config_version} of {answer.device_id} is in force"]
        lines += [f"  {change.path}: {_text(change.before)} -> {_text(change.after)}" for change in answer.changes]
        lines += [] if changes else ["  nothing is different"]
    else:
        outcome, facts, code = "rejected", {"errors": [json_of(error) for error in answer.errors]}, EXIT_FAILED
        lines = [f"rejected: version {about['configVersion']} of {about['deviceId']}"]
        lines += [f"  {error.code}: {error.message}" for error in answer.errors]
    if as_json:
        click.echo(json.dumps({"outcome": outcome, **about, **facts}, ensure_ascii=False))
    else:
        click.echo("\n".join(lines), err=code != 0)
    return code


def _ids(asked: "Asked") -> "dict[str, Json]":
    return {key: asked.data[key] for key in ("deviceId", "configVersion")}


def _text(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
