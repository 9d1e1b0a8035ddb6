"""A gateway's status as lines for a terminal: what a grower looks at first comes first."""

from collections.abc import Iterator, Mapping

import click

from edge.domain.clock import unix_ms_of
from edge.domain.event import Json
from edge.domain.quantity import QUANTITIES

# The rest of the screen belongs to the devices.
SEEN_LINES_MAX = 5

_SYMBOLS = {quantity.unit: quantity.symbol for quantity in QUANTITIES.values()}
_CONDITION_COLOURS = {"answering": "green", "waiting": None, "disabled": None, "failing": "yellow"}
_STORE_COLOURS = {"forwarding": "green", "connecting": None, "unreachable": "yellow"}


def render(status: Json, *, width: int = 100) -> list[str]:
    """Render a status (the answer of the control socket) as lines of at most `width` visible characters."""
    assert isinstance(status, Mapping)
    parts = (_head(status), _devices(status, width), _seen(status, width), _outbox(status))
    return [line for part in parts for line in part]


def _table(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value


def _rows(value: Json) -> list[Mapping[str, Json]]:
    assert isinstance(value, list)
    return [_table(item) for item in value]


def _head(status: Mapping[str, Json]) -> Iterator[str]:
    title = click.style(f"greenhouse-edge {status['version']}  gateway {status['gatewayId']}", bold=True)
    yield f"{title}   {status['now']}   clock {status['clock']}   pid {status['pid']}"
    yield ""


def _devices(status: Mapping[str, Json], width: int) -> Iterator[str]:
    yield click.style(
        f"{'DEVICE':<22} {'STATE':<10} {'EVERY':>6} {'AGE':>6} {'VER':>4} {'ACCEPTED':>9}  READINGS", dim=True
    )
    for device in _rows(_table(status["fleet"])["devices"]):
        condition = str(device["condition"])
        colour = _CONDITION_COLOURS.get(condition, "red")
        figures = (
            f"{_seconds(device['pollIntervalS']):>6} {_seconds(device['heardAgeS']):>6} "
            f"{device['configVersion']!s:>4} {device['samplesAccepted']!s:>9}"
        )
        room = max(10, width - 65)
        said = _readings(_table(device["readings"])) or str(device["lastError"] or "")
        yield f"{device['deviceId']!s:<22.22} {click.style(f'{condition:<10}', fg=colour)} {figures}  {said[:room]}"
    yield ""


def _readings(readings: Mapping[str, Json]) -> str:
    parts = []
    for point, item in readings.items():
        reading = _table(item)
        unit = str(reading["unit"] or "")
        value = reading["value"]
        text = "bad" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        mark = {"good": "", "uncertain": "?", "bad": "!"}[str(reading["quality"])]
        parts.append(f"{point} {text}{mark} {_SYMBOLS.get(unit, unit)}".rstrip())
    return "  ".join(parts)


def _seen(status: Mapping[str, Json], width: int) -> Iterator[str]:
    """Names behind a broker that are no devices: somebody may want to list them, or wonders why nothing is measured."""
    connections = _rows(_table(status["fleet"])["connections"])
    names = [(connection, name) for connection in connections for name in _rows(connection["seen"])]
    newest_first = sorted(names, key=lambda pair: -int(str(pair[1]["lastSeenMs"])))
    for connection, name in newest_first[:SEEN_LINES_MAX]:
        age_s = (unix_ms_of(str(status["now"])) - int(str(name["lastSeenMs"]))) / 1000
        said = f"{name['name']} behind {connection['connectionId']}, {_seconds(age_s)} ago, no device: {name['reason']}"
        yield f"{'seen':<12} {said[: width - 13]}"
    if len(newest_first) > SEEN_LINES_MAX:
        yield f"{'':<12} and {len(newest_first) - SEEN_LINES_MAX} more (--json has them)"
    if newest_first:
        yield ""


def _outbox(status: Mapping[str, Json]) -> Iterator[str]:
    outbox, store = _table(status["outbox"]), _table(status["eventStore"])
    pending = sum(int(str(count)) for count in _table(outbox["pendingByStream"]).values())
    state = str(store["state"])
    age = outbox["committedAgeS"]
    yield (
        f"outbox       {outbox['lastPosition']} events accepted, {pending} waiting to be forwarded, "
        f"last commit {_seconds(age)} ago"
    )
    is_failing = bool(outbox["isFailing"])
    shown = click.style(state, fg=_STORE_COLOURS.get(state, "red"))
    note = "" if state == "forwarding" else f"   {store['lastError'] or ''}"
    if state == "unreachable" and not is_failing:
        note += "   (the data is safe: it is on disk and goes out when the link is back)"
    yield f"event store  {shown}{note}"
    if is_failing:
        yield click.style(
            "disk         takes no commits: new samples wait in memory, then are refused", fg="red", bold=True
        )
    troubles = {name: outbox[name] for name in ("refused", "quarantined", "blocksDamaged") if outbox[name]}
    if troubles:
        yield click.style("troubles     " + ", ".join(f"{count} {name}" for name, count in troubles.items()), fg="red")
    for stream, reason in _table(outbox["parked"]).items():
        yield click.style(f"parked       {stream}: {reason}", fg="red")


def _seconds(value: Json) -> str:
    if value is None:
        return "-"
    seconds = float(str(value))
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"
