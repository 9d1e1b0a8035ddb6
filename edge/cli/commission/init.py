"""`init`: a first site file, from answers and from what is found on the connections."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_TEMPORARY
from edge.cli.commission import answers
from edge.cli.commission.draft import DraftConnection, DraftSite, site_text
from edge.cli.commission.drafting import best
from edge.cli.commission.first_look import ConnectionOptions, FirstLook, Wishes
from edge.cli.commission.fit import Fit
from edge.cli.commission.scan import LISTEN_S, UNIT_TIMEOUT_MS
from edge.cli.commission.site import log_errors_only, outside_context
from edge.cli.commission.units import units_of
from edge.domain.settings import Settings
from edge.operate.threads import run_leaving_threads
from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import load_settings

Answer = TypeVar("Answer")

# What a connection is given by; the order is that of the file.
KINDS = {
    "modbus-tcp": "HOST[:PORT]",
    "rtu-over-tcp": "HOST:PORT",
    "modbus-serial": "PORT[@9600/8N1]",
    "serial": "PORT[@9600/8N1]",
    "mqtt": "URL",
}
DONE = "done"


@click.command()
@click.argument("site_file", metavar="[SITE.toml]", type=click.Path(path_type=Path), default=Path("site.toml"))
@click.option("--site-id", help="Small letters, digits, - and _; in the names of all its streams.")
@click.option("--name", help="The site's name as people say it.")
@click.option("--time-zone", help="Like Europe/Amsterdam; else this machine's.")
@click.option("--uri", help=f"The event store.  [default: {answers.EVENT_STORE_URI}]")
@click.option("--modbus-tcp", multiple=True, metavar=KINDS["modbus-tcp"], help="A Modbus/TCP device or gateway.")
@click.option(
    "--rtu-over-tcp", multiple=True, metavar=KINDS["rtu-over-tcp"], help="A converter that passes RTU frames."
)
@click.option("--modbus-serial", multiple=True, metavar=KINDS["modbus-serial"], help="An RS-485 line with Modbus RTU.")
@click.option("--serial", multiple=True, metavar=KINDS["serial"], help="A serial port with an instrument.")
@click.option("--mqtt", multiple=True, metavar=KINDS["mqtt"], help="An MQTT broker. All of these may be repeated.")
@click.option("--mqtt-credential", metavar="NAME", help="The credential for the brokers, user:password.")
@click.option("--scan", is_flag=True, help="Look who is there, and guess which profiles fit.")
@click.option("--units", default="1-247", show_default=True, help="Modbus: the unit ids to ask, like 1-20,30.")
@click.option("--timeout-ms", type=click.IntRange(10, 10_000), default=UNIT_TIMEOUT_MS, show_default=True,
              help="Modbus: how long each is waited for.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=LISTEN_S, show_default=True,
              help="MQTT and serial: how long to listen.")  # fmt: skip
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Ask nothing, print one JSON object.")
def init(
    site_file: Path,
    *,
    site_id: str | None,
    name: str | None,
    time_zone: str | None,
    uri: str | None,
    mqtt_credential: str | None,
    scan: bool,
    units: str,
    timeout_ms: int,
    seconds: float,
    credentials_dir: Path | None,
    force: bool,
    as_json: bool,
    **given: tuple[str, ...],
) -> None:
    """Write a first site file: what is not given is asked for at a terminal. Nothing is written to any device.

    A scan finds the Modbus units that answer and the profiles that fit, a broker's topics, and what a serial device says;
    guesses are marked. Exit codes: 0 written, 1 the file is there, 2 usage, 75 written, a connection was not reached.
    """
    log_errors_only()
    if site_file.exists() and not force:
        click.echo(f"{site_file} is there already; name another file, or --force", err=True)
        sys.exit(EXIT_FAILED)
    asks = sys.stdin.isatty() and not as_json
    head = _head(site_id, name, time_zone, uri, asks=asks)
    connections = list(_connections(given, mqtt_credential, asks=asks and not any(given.values())))
    if asks and connections and not scan:
        scan = click.confirm("Look now who is there?", default=True)
    wishes = Wishes(scan=scan, units=_units(units), timeout_ms=timeout_ms, seconds=seconds)
    context = outside_context(head.site_id, head.time_zone, site_file.resolve().parent, credentials_dir)
    look = FirstLook(wishes, context, _chosen if asks else best)
    drafts = run_leaving_threads(_looked_at(look, connections))
    settings = _written(site_file, site_text(replace(head, connections=drafts)))
    for connection_id, error in look.troubles.items():
        click.echo(f"{connection_id}: {error}", err=True)
    _tell(settings, without_devices=sum(not item.is_used for item in settings.connections), as_json=as_json)
    sys.exit(EXIT_TEMPORARY if look.troubles else 0)


def _head(site_id: str | None, name: str | None, time_zone: str | None, uri: str | None, *, asks: bool) -> DraftSite:
    """Ask for what was not given, and check everything."""
    if name is None and asks:
        name = click.prompt("The site's name", default="Greenhouse")
    suggested = answers.suggested_id(name or "")
    if site_id is None and not asks:
        if not suggested:
            raise click.UsageError("name the site: --site-id north-1, or --name")
        site_id = suggested
    told_id = _answer(site_id, "Its id, in the names of streams", answers.site_id, suggested or "site")
    return DraftSite(
        site_id=told_id,
        name=name or told_id,
        time_zone=_answer(
            time_zone or (None if asks else answers.local_time_zone()),
            "Time zone",
            answers.time_zone,
            answers.local_time_zone(),
        ),
        uri=_answer(
            uri or (None if asks else answers.EVENT_STORE_URI),
            "Event store",
            answers.event_store_uri,
            answers.EVENT_STORE_URI,
        ),
    )


def _answer(given: str | None, question: str, check: Callable[[str], Answer], default: str) -> Answer:
    """Check what was given, or ask until the answer is one. Raises click.UsageError."""

    def checked(text: str) -> Answer:
        try:
            return check(text)
        except answers.AnswerWrong as error:
            raise click.UsageError(str(error)) from error

    if given is not None:
        return checked(given)
    answer: Answer = click.prompt(question, default=default or None, value_proc=checked)
    return answer


def _connections(
    given: dict[str, tuple[str, ...]], mqtt_credential: str | None, *, asks: bool
) -> Iterator[ConnectionOptions]:
    checks: dict[str, Callable[[str], ConnectionOptions]] = {
        "modbus-tcp": answers.modbus_host,
        "rtu-over-tcp": partial(answers.modbus_host, is_rtu=True),
        "modbus-serial": answers.modbus_port,
        "serial": answers.serial_port,
        "mqtt": partial(answers.broker, credential=mqtt_credential),
    }
    for kind, check in checks.items():
        for text in given[kind.replace("-", "_")]:
            yield _answer(text, kind, check, "")
    while asks:
        kind = click.prompt("Add a connection", type=click.Choice([*KINDS, DONE]), default=DONE)
        if kind == DONE:
            return
        yield _answer(None, KINDS[kind], checks[kind], "")


def _units(text: str) -> Sequence[int]:
    try:
        return units_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--units") from error


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


async def _looked_at(look: FirstLook, connections: Sequence[ConnectionOptions]) -> list[DraftConnection]:
    return [await look.draft(options) for options in connections]


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
