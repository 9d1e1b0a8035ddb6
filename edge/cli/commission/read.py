"""`read SITE.toml [DEVICE…]`: reads devices now, through the daemon where one runs, else over their own wires."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from edge.cli import EXIT_FAILED, EXIT_TEMPORARY, EXIT_USAGE
from edge.cli.commission.asking import Said, read_devices
from edge.cli.commission.shown import lines, records
from edge.cli.commission.site import context_of, load, log_errors_only
from edge.control.client import DaemonAmbiguous, DaemonNotFound, DaemonRefused, DaemonSilent, ask, find_daemon
from edge.control.places import DaemonNote
from edge.domain.reading import Quality, Reading, Reason
from edge.domain.settings import DeviceSettings, Settings
from edge.operate.threads import run_leaving_threads

# How long to wait for a device that sends by itself.
TIMEOUT_S = 15.0
# More than the devices have: the daemon answers even when none of them does.
MARGIN_S = 10.0


@click.command()
@click.argument("site_file", metavar="SITE.toml", type=click.Path(path_type=Path))
@click.argument("device_ids", metavar="[DEVICE]...", nargs=-1)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1, max=600.0),
    default=TIMEOUT_S,
    show_default=True,
    help="How long a device that speaks by itself is waited for.",
)
@click.option("--state-dir", type=click.Path(path_type=Path), help="The daemon with this state directory.")
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def read(
    site_file: Path,
    device_ids: tuple[str, ...],
    timeout_s: float,
    state_dir: Path | None,
    credentials_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Read devices now: each point's value, unit and quality, as the daemon would report it.

    Where the site's daemon runs, it is asked (it holds the ports; what it reads it records, like any other sample).
    Else the devices are read from here, and nothing is recorded. Exit codes: 0 all answered, 1 an answer made no sense,
    2 there is no such device, 75 a device, port or broker could not be reached, 78 the site file is wrong.
    """
    log_errors_only()
    settings = load(site_file)
    wanted = _wanted(settings, device_ids)
    try:
        note = find_daemon(gateway_id=settings.gateway_id, state_directory=state_dir)
    except DaemonNotFound:
        said = run_leaving_threads(read_devices(settings, wanted, context_of(settings, credentials_dir), timeout_s))
    except DaemonAmbiguous as error:
        click.echo(error, err=True)
        sys.exit(EXIT_USAGE)
    else:
        try:
            said = read_through(note, wanted, timeout_s)
        except DaemonSilent as error:
            click.echo(error, err=True)
            sys.exit(EXIT_TEMPORARY)
        except DaemonRefused as error:
            click.echo(error, err=True)
            sys.exit(EXIT_FAILED)
    _tell(wanted, said, as_json=as_json)
    sys.exit(max((outcome.code for outcome in said.values()), default=0))


def _wanted(settings: Settings, device_ids: Sequence[str]) -> list[DeviceSettings]:
    devices = {device.id: device for device in settings.devices()}
    for device_id in device_ids:
        if device_id not in devices:
            raise click.UsageError(f"there is no device {device_id!r}; there are: {', '.join(devices)}")
    return [devices[device_id] for device_id in dict.fromkeys(device_ids or devices)]


def read_through(note: DaemonNote, wanted: Sequence[DeviceSettings], timeout_s: float) -> dict[str, Said]:
    """Ask the daemon to read the devices now. Raises DaemonSilent, DaemonRefused."""
    asked = [device.id for device in wanted]
    answer = ask(note, "read", arguments={"devices": asked, "timeoutS": timeout_s}, timeout_s=timeout_s + MARGIN_S)
    devices = answer["devices"] if isinstance(answer, Mapping) else {}
    assert isinstance(devices, Mapping)
    return {device.id: _said(devices.get(device.id)) for device in wanted}


def _said(told: object) -> Said:
    if not isinstance(told, Mapping):
        # The site file was changed since the daemon read it.
        return Said(error="the running daemon does not know this device; restart it", code=EXIT_TEMPORARY)
    readings = told.get("readings")
    if not isinstance(readings, Mapping):
        return Said(error=str(told.get("error", "")), code=EXIT_TEMPORARY)
    return Said(readings={point_id: _reading(record) for point_id, record in readings.items()})


def _reading(record: Mapping[str, object]) -> Reading:
    value, unit, reason = record["value"], record["unit"], record["reason"]
    assert value is None or isinstance(value, bool | int | float | str)
    return Reading(
        value=value,
        unit=None if unit is None else str(unit),
        quality=Quality(str(record["quality"])),
        reason=None if reason is None else Reason(str(reason)),
    )


def _tell(wanted: Sequence[DeviceSettings], said: Mapping[str, Said], *, as_json: bool) -> None:
    if as_json:
        devices = {
            device_id: {"error": outcome.error} if outcome.readings is None else {"readings": records(outcome.readings)}
            for device_id, outcome in said.items()
        }
        click.echo(json.dumps({"devices": devices}, indent=2, ensure_ascii=False))
        return
    for device in wanted:
        outcome = said[device.id]
        click.echo(f"{device.id}: {outcome.error}" if outcome.readings is None else f"{device.id}:")
        for line in lines(outcome.readings or {}, device):
            click.echo(f"  {line}")
