"""`status`: asks the running daemon, and shows its answer as lines for a terminal, the most urgent ones first."""

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from edge.cli import EXIT_FAILED, EXIT_TEMPORARY, EXIT_USAGE
from edge.domain.clock import unix_ms_of
from edge.domain.event import Json
from edge.domain.quantity import QUANTITIES

# The rest of the screen belongs to the devices.
SEEN_LINES_MAX = 5
ALARM_LINES_MAX = 5
REFUSED_LINES_MAX = 5
# The message of a library may fill a page; the cause stands at its end.
REASON_LINES_MAX = 4
# Where the text of a line begins, after what it is about.
LABEL_WIDTH = 14
# A narrower screen leaves out what is looked at less.
WIDTH_OF_ALL_COLUMNS = 100
DEVICE_ID_WIDTH_MAX = 22

_SYMBOLS = {quantity.unit: quantity.symbol for quantity in QUANTITIES.values()}
_CONDITION_COLOURS = {"answering": "green", "waiting": None, "disabled": None, "failing": "yellow"}
_STORE_COLOURS = {"forwarding": "green", "connecting": None, "unreachable": "yellow"}
_FOLLOWING_COLOURS = {"following": "green", "connecting": None, "interrupted": "yellow"}
# A failure that is tried again loses nothing, unless the disk takes nothing.
_WAITING_STATES = ("unreachable", "access_refused", "events_refused")


@click.command()
@click.argument("site_file", type=click.Path(path_type=Path), required=False)
@click.option("--state-dir", type=click.Path(path_type=Path), help="The daemon with this state directory.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole status as JSON.")
def status(site_file: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Show how the daemon of SITE_FILE (or --state-dir, else the only one running) is.

    Exit codes: 0 it answered, 1 it refused, 2 several run and none was named, 75 none runs or it does not answer.
    """
    from edge.control.client import DaemonAmbiguous, DaemonNotFound, DaemonRefused, DaemonSilent, ask, find_daemon

    try:
        note = find_daemon(gateway_id=_gateway_id(site_file), state_directory=state_dir)
        answer = ask(note, "status")
    except DaemonAmbiguous as error:
        click.echo(error, err=True)
        sys.exit(EXIT_USAGE)
    except (DaemonNotFound, DaemonSilent) as error:
        click.echo(error, err=True)
        sys.exit(EXIT_TEMPORARY)
    except DaemonRefused as error:
        click.echo(error, err=True)
        sys.exit(EXIT_FAILED)
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(render(answer)))


def _gateway_id(site_file: Path | None) -> str | None:
    """Read only the ids: `status` must work with a site file that has a mistake."""
    if site_file is None:
        return None
    import tomllib

    try:
        document = tomllib.loads(site_file.read_text(encoding="utf-8"))
        gateway_id = document.get("gateway", {}).get("id") or document["site"]["id"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise click.UsageError(f"{site_file} names no site: {error}") from error
    return str(gateway_id)


def render(status: Json, *, width: int = 100, height: int | None = None) -> list[str]:
    """Render a status (the answer of the control socket) as lines of at most `width` visible characters.

    With a height, the blank lines and then devices that answer are left out until it fits, if that is possible.
    """
    assert isinstance(status, Mapping)
    head = [*_head(status, width), *_alarms(status, width)]
    seen, outbox = list(_seen(status, width)), list(_outbox(status, width))
    rows = _rows(_table(status["fleet"])["devices"])
    if height is None:
        return [*head, "", *_devices(rows, width), "", *seen, *outbox]
    seen = seen[:-1]
    # The table's own head takes a line, too.
    room = height - len(head) - len(seen) - len(outbox) - 1
    gap = [""] if len(rows) + 2 <= room else []
    return [*head, *gap, *_devices(rows, width, rows_max=max(2, room - 2 * len(gap))), *gap, *seen, *outbox]


def _table(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value


def _rows(value: Json) -> list[Mapping[str, Json]]:
    assert isinstance(value, list)
    return [_table(item) for item in value]


def _head(status: Mapping[str, Json], width: int) -> Iterator[str]:
    name = f"greenhouse-edge {status['version']}  gateway {status['gatewayId']}"
    rest = f"   {status['now']}   clock {status['clock']}   pid {status['pid']}"
    yield click.style(name[:width], bold=True) + rest[: max(0, width - len(name))]


def _alarms(status: Mapping[str, Json], width: int) -> Iterator[str]:
    alarms = _rows(status["alarms"])
    for alarm in alarms[:ALARM_LINES_MAX]:
        about = ", ".join(str(alarm[key]) for key in ("deviceId", "connectionId", "pointId", "stream") if alarm[key])
        said = f"{alarm['alarm']}{about and f' {about}'}: {alarm['message']}"
        yield click.style(_labelled("alarm", said)[:width], fg="red")
    if len(alarms) > ALARM_LINES_MAX:
        yield _labelled("", f"and {len(alarms) - ALARM_LINES_MAX} more (--json has them)")


def _devices(rows: Sequence[Mapping[str, Json]], width: int, *, rows_max: int | None = None) -> Iterator[str]:
    has_all = width >= WIDTH_OF_ALL_COLUMNS
    name_width = max([6, *(min(DEVICE_ID_WIDTH_MAX, len(str(device["deviceId"]))) for device in rows)])
    figures = f"{'EVERY':>6} {'AGE':>6}" + (f" {'VER':>4} {'ACCEPTED':>9}" if has_all else "")
    yield click.style(f"{'DEVICE':<{name_width}} {'STATE':<10} {figures}  READINGS", dim=True)
    room = max(10, width - name_width - len(figures) - 14)
    shown = _chosen(rows, rows_max)
    for device in shown:
        condition = str(device["condition"])
        colour = _CONDITION_COLOURS.get(condition, "red")
        figures = f"{_seconds(device['pollIntervalS']):>6} {_seconds(device['heardAgeS']):>6}"
        if has_all:
            figures += f" {device['configVersion']!s:>4} {device['samplesAccepted']!s:>9}"
        said = _readings(_table(device["readings"]), room) or str(device["lastError"] or "")[:room]
        name = f"{device['deviceId']!s:<{name_width}.{name_width}}"
        yield f"{name} {click.style(f'{condition:<10}', fg=colour)} {figures}  {said}"
    if len(shown) < len(rows):
        yield click.style(f"and {len(rows) - len(shown)} more that are well (`status` lists all)"[:width], dim=True)


def _chosen(rows: Sequence[Mapping[str, Json]], rows_max: int | None) -> Sequence[Mapping[str, Json]]:
    """Return the rows that there is room for, in their order: those with troubles before those without."""
    if rows_max is None or len(rows) <= rows_max:
        return rows
    calm = ("answering", "disabled")
    by_need = sorted(rows, key=lambda device: device["condition"] in calm)
    wanted = {str(device["deviceId"]) for device in by_need[: rows_max - 1]}
    return [device for device in rows if str(device["deviceId"]) in wanted]


def _readings(readings: Mapping[str, Json], room: int) -> str:
    """Say as many readings as there is room for, each whole."""
    line = ""
    left = len(readings)
    for point, item in readings.items():
        reading = _table(item)
        unit = str(reading["unit"] or "")
        value = reading["value"]
        text = "bad" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        mark = {"good": "", "uncertain": "?", "bad": "!"}[str(reading["quality"])]
        said = f"{point} {text}{mark} {_SYMBOLS.get(unit, unit)}".rstrip()
        left -= 1
        longer = f"{line}  {said}" if line else said
        # Room for the dots that say that there is more.
        if len(longer) + (3 if left else 0) > room:
            return f"{line}  …" if line else f"{said[: room - 1]}…"
        line = longer
    return line


def _seen(status: Mapping[str, Json], width: int) -> Iterator[str]:
    """Show names behind a broker that are no devices: they explain why nothing is measured, and can be listed."""
    connections = _rows(_table(status["fleet"])["connections"])
    names = [(connection, name) for connection in connections for name in _rows(connection["seen"])]
    newest_first = sorted(names, key=lambda pair: -int(str(pair[1]["lastSeenMs"])))
    for connection, name in newest_first[:SEEN_LINES_MAX]:
        age_s = (unix_ms_of(str(status["now"])) - int(str(name["lastSeenMs"]))) / 1000
        said = f"{name['name']} behind {connection['connectionId']}, {_seconds(age_s)} ago, no device: {name['reason']}"
        yield _labelled("seen", said[: width - LABEL_WIDTH])
    if len(newest_first) > SEEN_LINES_MAX:
        yield _labelled("", f"and {len(newest_first) - SEEN_LINES_MAX} more (--json has them)")
    if newest_first:
        yield ""


def _outbox(status: Mapping[str, Json], width: int) -> Iterator[str]:
    outbox = _table(status["outbox"])
    pending = sum(int(str(count)) for count in _table(outbox["pendingByStream"]).values())
    age = outbox["committedAgeS"]
    line = (
        f"{outbox['lastPosition']} events accepted, {pending} waiting to be forwarded, last commit {_seconds(age)} ago"
    )
    yield _labelled("outbox", line)[:width]
    yield from _event_store(status, width)
    yield from _configuration(status, width)
    if outbox["isFailing"]:
        said = "takes no commits: new samples wait in memory, then are refused"
        yield click.style(_labelled("disk", said), fg="red", bold=True)
        yield from _reason(str(outbox.get("failure") or ""), width)
    troubles = {name: outbox[name] for name in ("refused", "quarantined", "blocksDamaged") if outbox[name]}
    if troubles:
        said = ", ".join(f"{count} {name}" for name, count in troubles.items())
        yield click.style(_labelled("troubles", said), fg="red")
    for stream, reason in _table(outbox["parked"]).items():
        yield click.style(_labelled("parked", f"{stream}: {reason}"), fg="red")


def _event_store(status: Mapping[str, Json], width: int) -> Iterator[str]:
    store = _table(status["eventStore"])
    state = str(store["state"])
    is_safe = state in _WAITING_STATES and not _table(status["outbox"])["isFailing"]
    note = " (the data is safe: it is on disk)" if is_safe else ""
    shown = click.style(state, fg=_STORE_COLOURS.get(state, "red"))
    yield _labelled("event store", shown) + f"{_next_try(store)}{note}"[: width - LABEL_WIDTH - len(state)]
    if state != "forwarding":
        yield from _reason(str(store["lastError"] or ""), width)
    refused = _table(store["refused"])
    for number, stream in enumerate(refused.values()):
        if number == REFUSED_LINES_MAX:
            yield _labelled("", f"and {len(refused) - number} more streams (--json has them)")
            return
        waiting = _table(stream)
        said = f"{waiting['reason']}{_next_try(waiting)}"
        yield from (click.style(line, fg="red") for line in _reason(said, width, label="refused"))


def _configuration(status: Mapping[str, Json], width: int) -> Iterator[str]:
    following = _table(status["configuration"])
    state = str(following["state"])
    shown = click.style(state, fg=_FOLLOWING_COLOURS.get(state, "red"))
    stream = f" {following['stream']}," if state == "following" else ""
    since = f"{stream} for {_seconds(following['forS'])}"
    yield _labelled("configuration", shown) + f"{since}{_next_try(following)}"[: width - LABEL_WIDTH - len(state)]
    yield from _reason(str(following["problem"]), width)


def _next_try(waiting: Mapping[str, Json]) -> str:
    seconds = waiting["nextTryInS"]
    return "" if seconds is None else f", tries again in {_seconds(round(float(str(seconds))))}"


def _reason(said: str, width: int, *, label: str = "") -> Iterator[str]:
    """Say all of it, on as many lines as it takes."""
    lines = textwrap.wrap(said, width - LABEL_WIDTH, max_lines=REASON_LINES_MAX, placeholder=" …")
    yield from (_labelled(label if line is lines[0] else "", line) for line in lines)


def _labelled(label: str, said: str) -> str:
    return f"{label:<{LABEL_WIDTH}}{said}"


def _seconds(value: Json) -> str:
    if value is None:
        return "-"
    seconds = float(str(value))
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"
