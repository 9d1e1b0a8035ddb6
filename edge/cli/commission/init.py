"""`init`: a first site file, from answers and from what is found on the connections."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_TEMPORARY
from edge.cli.commission.answers import EVENT_STORE_URI, head_of
from edge.cli.commission.draft import site_text
from edge.cli.commission.first_look import FirstLook, Named, best
from edge.cli.commission.looking import LISTEN_S, UNIT_TIMEOUT_MS, checked_units
from edge.cli.commission.site import hook_at_work, log_errors_only, outside_context
from edge.cli.commission.ways import WaysCommand, connections
from edge.domain.commissioning import DraftConnection, Survey, Wishes
from edge.domain.fit import Fit
from edge.domain.settings import Settings
from edge.operate.threads import run_leaving_threads
from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import load_settings


@click.command(cls=WaysCommand)
@click.argument("site_file", metavar="[SITE.toml]", type=click.Path(path_type=Path), default=Path("site.toml"))
@click.option("--site-id", help="Small letters, digits, - and _; in the names of all its streams.")
@click.option("--name", help="The site's name as people say it.")
@click.option("--time-zone", help="Like Europe/Amsterdam; else this machine's.")
@click.option("--uri", help=f"The event store.  [default: {EVENT_STORE_URI}]")
@click.option("--scan", is_flag=True, help="Look who is there, and guess which profiles fit.")
@click.option("--units", default="1-247", show_default=True, help="Modbus: the unit ids to ask, like 1-20,30.")
@click.option("--timeout-ms", type=click.IntRange(10, 10_000), default=UNIT_TIMEOUT_MS, show_default=True,
              help="Modbus: how long each is waited for.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=LISTEN_S, show_default=True,
              help="MQTT and serial: how long to listen.")  # fmt: skip
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Ask nothing, print one JSON object.")
@click.pass_context
def init(
    ctx: click.Context,
    /,
    site_file: Path,
    *,
    site_id: str | None,
    name: str | None,
    time_zone: str | None,
    uri: str | None,
    scan: bool,
    units: str,
    timeout_ms: int,
    seconds: float,
    credentials_dir: Path | None,
    force: bool,
    as_json: bool,
    **given: object,
) -> None:
    """Write a first site file: what is not given is asked for at a terminal. Nothing is written to any device.

    Each option that names a connection may be repeated. A scan finds the devices there, and profiles that fit; guesses
    are marked. Exit codes: 0 written, 1 the file is there, 2 usage, 75 written, but a connection was not reached.
    """
    log_errors_only()
    _leave_what_is_there(site_file, force=force)
    asks = sys.stdin.isatty() and not as_json
    head = head_of(site_id, name, time_zone, uri, asks=asks)
    named = list(connections(ctx, given, asks=asks))
    if asks and named and not scan:
        scan = click.confirm("Look now who is there?", default=True)
    wishes = Wishes(units=checked_units(units), timeout_ms=timeout_ms, seconds=seconds)
    surveys = [_survey(each, wishes) if scan else None for each in named]
    context = outside_context(head.site_id, head.time_zone, site_file.resolve().parent, credentials_dir)
    look = FirstLook(context, _chosen if asks else best)
    drafts = run_leaving_threads(_looked_at(look, named, surveys))
    settings = _written(site_file, site_text(replace(head, connections=drafts)))
    for connection_id, error in look.troubles.items():
        click.echo(f"{connection_id}: {error}", err=True)
    _tell(settings, without_devices=sum(not item.is_used for item in settings.connections), as_json=as_json)
    sys.exit(EXIT_TEMPORARY if look.troubles else 0)


def _leave_what_is_there(site_file: Path, *, force: bool) -> None:
    if site_file.exists() and not force:
        click.echo(f"{site_file} is there already; name another file, or --force", err=True)
        sys.exit(EXIT_FAILED)


def _survey(named: Named, wishes: Wishes) -> Survey | None:
    if named.day.survey is None:
        return None
    with hook_at_work(named.driver, "first_day"):
        return named.day.survey(named.options, wishes)


def _chosen(what: str, fits: Sequence[Fit]) -> Fit | None:
    """Ask which of the profiles that fit it is."""
    if not fits:
        return None
    click.echo(f"{what}: which model is it?")
    for number, fit in enumerate(fits, start=1):
        click.echo(f"  {number}  {fit.profile}  ({fit.evidence} of {fit.points} points give plausible values)")
    click.echo("  0  none of these")
    number = click.prompt("Number", type=click.IntRange(0, len(fits)), default=1)
    return fits[number - 1] if number else None


async def _looked_at(
    look: FirstLook, connections: Sequence[Named], surveys: Sequence[Survey | None]
) -> list[DraftConnection]:
    return [await look.draft(named, survey) for named, survey in zip(connections, surveys, strict=True)]


def _written(site_file: Path, text: str) -> Settings:
    """Write the file, whole and without mistakes or not at all."""
    draft = site_file.with_name(f".{site_file.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        load_settings(draft)
        draft.replace(site_file)
    except ConfigurationInvalid as error:
        draft.unlink()
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)
    except OSError as error:
        click.echo(f"{site_file} cannot be written: {error.strerror}", err=True)
        sys.exit(EXIT_FAILED)
    return load_settings(site_file)


def _tell(settings: Settings, *, without_devices: int, as_json: bool) -> None:
    devices = [
        {"id": device.id, "profile": device.profile.id if device.profile else None} for device in settings.devices()
    ]
    if as_json:
        facts = {"file": str(settings.file), "connections": len(settings.connections), "devices": devices}
        click.echo(json.dumps({**facts, "withoutDevices": without_devices}, indent=2, ensure_ascii=False))
        return
    click.echo(f"wrote {settings.file}: {len(settings.connections)} connections, {len(devices)} devices")
    if without_devices:
        click.echo(f"{without_devices} of its connections have no device yet; `scan` looks who is there")
    name = os.fspath(settings.file)
    click.echo(f"next: greenhouse-edge check {name}; greenhouse-edge read {name}; greenhouse-edge run {name}")
