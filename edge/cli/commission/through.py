"""Reads devices through the running daemon, which holds the ports."""

from collections.abc import Mapping, Sequence

from edge.cli import EXIT_TEMPORARY
from edge.cli.commission.asking import Said
from edge.control.client import ask
from edge.control.places import DaemonNote
from edge.domain.reading import Quality, Reading, Reason
from edge.domain.settings import DeviceSettings

# Beyond the time that the devices get: the daemon answers even when none of them does.
MARGIN_S = 10.0


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
