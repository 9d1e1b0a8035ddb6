"""Applies status registers: readings get the quality that the device's own status gives them. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from drivers.decoders.modbus_options import ModbusPointOptions, StatusRule
from edge.domain.reading import BAD_REASONS, Quality, Reading, Reason, bad
from edge.domain.settings import DeviceSettings

# Status point -> what it says of others.
Rules = Mapping[str, Sequence[StatusRule]]


def status_rules(device: DeviceSettings) -> Rules:
    """Return the rules of a device's status points."""
    return {
        point.id: point.options.status_rules
        for point in device.points
        if isinstance(point.options, ModbusPointOptions) and point.options.status_rules
    }


def status_mistakes(device: DeviceSettings) -> Iterator[str]:
    """Return mistakes of rules that name points which the device lacks, or themselves."""
    for status_id, rules in status_rules(device).items():
        for named in sorted({named for rule in rules for named in rule.points}):
            if named == status_id:
                yield f"bad_when_bits of point {status_id} names the point itself"
            elif device.point(named) is None:
                yield f"bad_when_bits of point {status_id} names {named!r}, which the device does not have"


def judged(readings: Mapping[str, Reading], statuses: Mapping[str, int | None], rules: Rules) -> dict[str, Reading]:
    """Return the readings with the quality that the status registers give them.

    `statuses` holds the raw bits of each status point that the device has; None where they could not be read in this
    poll. Then the points it guards are bad, `comm_error`: the unread status may have said that their values are wrong.
    A status that is left out (the device does not have it, or a frame is looked at alone) says nothing.
    Bad beats uncertain; a reading that is bad already keeps its reason; else the first rule that applies gives it.
    """
    reasons: dict[str, list[Reason]] = {}
    for point_id, reason in _spoken(statuses, rules):
        reasons.setdefault(point_id, []).append(reason)
    if not reasons:
        return dict(readings)
    return {point_id: _lowered(reading, reasons.get(point_id, ())) for point_id, reading in readings.items()}


def _spoken(statuses: Mapping[str, int | None], rules: Rules) -> Iterator[tuple[str, Reason]]:
    """Yield what is said against which point, in the order of the rules."""
    heard = ((rule, statuses[status_id]) for status_id in rules if status_id in statuses for rule in rules[status_id])
    for rule, bits in heard:
        reason = _reason(rule, bits)
        if reason is not None:
            yield from ((point_id, reason) for point_id in rule.points)


def _reason(rule: StatusRule, bits: int | None) -> Reason | None:
    if bits is None:
        return Reason.COMM_ERROR
    return Reason(rule.reason) if bits & rule.mask else None


def _lowered(reading: Reading, reasons: Sequence[Reason]) -> Reading:
    if not reasons or reading.quality is Quality.BAD:
        return reading
    worst = next((reason for reason in reasons if reason in BAD_REASONS), reasons[0])
    if worst in BAD_REASONS:
        return bad(worst, reading.unit)
    return Reading(value=reading.value, unit=reading.unit, quality=Quality.UNCERTAIN, reason=worst)
