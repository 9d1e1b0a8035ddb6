"""A device of the site file over its profile: settings in canonical units."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, replace
from difflib import get_close_matches

from edge.domain.driver import DriverKind
from edge.domain.identifier import is_identifier
from edge.domain.quantity import (
    IDENTITY,
    QUANTITIES,
    Conversion,
    PointKind,
    Quantity,
    conversion,
    own_quantity,
    quantity_of,
    units_for,
)
from edge.domain.settable import Part, values_of
from edge.domain.settings import DeviceSettings, PointSettings, Range, ValueType
from edge.settings.adapt import adapt, unknown_keys
from edge.settings.document import Table
from edge.settings.problems import Problem
from edge.settings.profile import Profile
from edge.settings.tables import GROUP_KEYS, ConnectionTable, DeviceTable, PointTable, remote_of

_DEVICE_KEYS = tuple(item.name for item in fields(DeviceTable))
_POINT_KEYS = tuple(item.name for item in fields(PointTable))


def build_device(
    table: Table,
    profile: Profile | None,
    kind: DriverKind,
    *,
    poll_interval_s: float,
    report: list[Problem],
    other_keys: Sequence[str] = (),
) -> DeviceSettings | None:
    """Build one device; None after adding all its mistakes to `report`. `other_keys` of the table are not read here."""
    before = len(report)
    own, option_names = table.without("point"), tuple(item.name for item in fields(kind.device_options))
    report.extend(unknown_keys(own, (*_DEVICE_KEYS, *option_names, *other_keys)))
    merged = own if profile is None else own.over(profile.device)
    head = adapt(DeviceTable, merged.only(*_DEVICE_KEYS), report)
    options: object | None = adapt(kind.device_options, merged.only(*option_names), report)
    points = list(_points(table, profile, kind, report))
    report.extend(_pointless(table, profile))
    if head is None or options is None or len(report) > before:
        return None
    interval_s = head.poll_interval_s or max(poll_interval_s, head.poll_interval_min_s)
    report.extend(_interval_problems(merged, head, interval_s, is_polled=kind.max_silence_s is None))
    return DeviceSettings(
        id=head.id,
        name=head.name,
        location=head.location,
        serial_number=head.serial_number,
        labels=head.labels,
        profile=None if profile is None else profile.identity,
        is_polled=kind.max_silence_s is None,
        poll_interval_min_s=head.poll_interval_min_s,
        warm_up_s=head.warm_up_s,
        max_silence_s=head.max_silence_s or kind.max_silence_s or default_max_silence_s(interval_s, points),
        remote=remote_of(head.remote, Part.DEVICE),
        options=options,
        points=tuple(points),
        **values_of(Part.DEVICE, replace(head, poll_interval_s=interval_s)),
    )


def _pointless(table: Table, profile: Profile | None) -> Iterator[Problem]:
    if not table.values.get("point") and not (profile and profile.points):
        yield table.place.problem("the device has no points; name a profile or write [connection.device.point.…]")


def _interval_problems(table: Table, head: DeviceTable, interval_s: float, *, is_polled: bool) -> Iterator[Problem]:
    if is_polled and head.max_silence_s is not None and head.max_silence_s < interval_s:
        sentence = f"max_silence_s is {head.max_silence_s:g}; the device is asked every {interval_s:g} s"
        yield table.place_of("max_silence_s").problem(sentence)
    if interval_s < head.poll_interval_min_s:
        sentence = (
            f"poll_interval_s is {interval_s:g}; the device gives no new value within {head.poll_interval_min_s:g} s"
        )
        yield table.place_of("poll_interval_s").problem(sentence)


def check_device_alone(
    table: Table, kind: DriverKind, report: list[Problem], *, other_keys: Sequence[str] = ()
) -> None:
    """Add the mistakes that show in a device although its profile cannot be read."""
    own = table.without("point")
    option_names = (item.name for item in fields(kind.device_options))
    report.extend(unknown_keys(own, (*_DEVICE_KEYS, *option_names, *other_keys)))
    adapt(DeviceTable, own.only(*_DEVICE_KEYS), report)
    points = table.table("point", report)
    for point in (points.table(key, report) for key in points.values):
        report.extend(unknown_keys(point, (*_POINT_KEYS, *(item.name for item in fields(kind.point_options)))))
        adapt(PointTable, point.only(*_POINT_KEYS), report)


def clashes(kind: DriverKind) -> Iterator[str]:
    """Return options of a driver that can never be set, because keys of the site file have their names."""
    ours = {
        kind.connection_options: (*(item.name for item in fields(ConnectionTable)), "device", "device_group"),
        kind.device_options: (*_DEVICE_KEYS, *GROUP_KEYS, "point"),
        kind.point_options: _POINT_KEYS,
    }
    for options, keys in ours.items():
        for item in fields(options):
            if item.name in keys:
                yield f"the driver's option {item.name!r} ({options.__name__}) has the name of a key of the site file"


def default_max_silence_s(poll_interval_s: float, points: list[PointSettings]) -> float:
    """Six polls; longer where every point may keep still for its heartbeat (DESIGN section 4.3)."""
    silence_s = 6 * poll_interval_s
    published = [point for point in points if point.publish]
    if published and all(point.deadband > 0 for point in published):
        silence_s = max(silence_s, min(point.max_silence_s for point in published) + 2 * poll_interval_s)
    return silence_s


def _points(table: Table, profile: Profile | None, kind: DriverKind, report: list[Problem]) -> Iterator[PointSettings]:
    own = table.table("point", report)
    described = {} if profile is None else profile.points
    for point_id in [*described, *(key for key in own.values if key not in described)]:
        point = own.table(point_id, report) if point_id in own.values else None
        if not is_identifier(point_id):
            report.append(own.place_of(point_id).problem(f"{point_id!r} is no id: small letters, digits, - and _"))
            continue
        if point is not None and profile is not None and _is_mistaken(point_id, point, profile, kind):
            report.append(own.place_of(point_id).problem(_no_such_point(point_id, profile)))
            continue
        merged = _merged(point, described.get(point_id))
        built = _build_point(point_id, merged, kind, report)
        if built is not None:
            yield built


def _is_mistaken(point_id: str, point: Table, profile: Profile, kind: DriverKind) -> bool:
    """Whether a table without the keys to read a point was meant for a point of the profile."""
    options = fields(kind.point_options)
    if point_id in profile.points or any(item.name in point.values for item in options):
        return False
    needs = any(item.default is MISSING and item.default_factory is MISSING for item in options)
    return needs or bool(get_close_matches(point_id, profile.points, n=1))


def _no_such_point(point_id: str, profile: Profile) -> str:
    near = get_close_matches(point_id, profile.points, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(profile.points)}"
    return f"the profile {profile.identity.id!r} has no point {point_id!r}; {hint}"


def _merged(own: Table | None, described: Table | None) -> Table:
    if own is None:
        assert described is not None
        return described
    return own if described is None else own.over(described)


def _build_point(point_id: str, table: Table, kind: DriverKind, report: list[Problem]) -> PointSettings | None:
    option_names = tuple(item.name for item in fields(kind.point_options))
    report.extend(unknown_keys(table, (*_POINT_KEYS, *option_names)))
    head = adapt(PointTable, table.only(*_POINT_KEYS), report)
    options: object | None = adapt(kind.point_options, table.only(*option_names), report)
    if head is None or options is None:
        return None
    value_type = getattr(options, "value_type", ValueType.NUMBER)
    quantity = _quantity(point_id, table, head, value_type, report)
    way = _conversion(table, head, quantity, report)
    return PointSettings(
        id=point_id,
        quantity=None if quantity is None else quantity.id,
        type=value_type,
        unit=head.unit if quantity is None else quantity.unit,
        conversion=way,
        options=options,
        range=_range(head, way, quantity),
        kind=_kind(table, head, quantity, value_type, report),
        texts=tuple(getattr(options, "texts", ())) if value_type is ValueType.TEXT else (),
        publish=head.publish,
        remote=remote_of(head.remote, Part.POINT),
        **values_of(Part.POINT, head),
    )


def _quantity(
    point_id: str, table: Table, head: PointTable, value_type: ValueType, report: list[Problem]
) -> Quantity | None:
    if head.quantity is not None:
        named = QUANTITIES.get(head.quantity) or own_quantity(head.quantity, head.unit)
        if named is None:
            report.append(table.place_of("quantity").problem(_no_such_quantity(head.quantity)))
        return named
    found = quantity_of(point_id) if value_type is ValueType.NUMBER else None
    if found is None and head.publish and value_type is ValueType.NUMBER:
        sentence = f"{point_id!r} names no quantity of the catalogue; add quantity = …, or publish = false"
        report.append(table.place.problem(sentence))
    return found


def _kind(
    table: Table, head: PointTable, quantity: Quantity | None, value_type: ValueType, report: list[Problem]
) -> PointKind:
    if value_type is ValueType.NUMBER:
        return head.kind or (PointKind.GAUGE if quantity is None else quantity.kind)
    if head.kind not in {None, PointKind.STATE}:
        report.append(table.place_of("kind").problem(f"kind is {head.kind}; a text or a switch is a state"))
    return PointKind.STATE


def _no_such_quantity(name: str) -> str:
    if name.startswith("x_"):
        return f"{name!r} is a quantity of your own: small letters, digits and _ after x_, and a unit (UCUM) beside it"
    near = get_close_matches(name, QUANTITIES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "one of your own is called x_… and has its own unit"
    return f"unknown quantity {name!r}; {hint}"


def _conversion(table: Table, head: PointTable, quantity: Quantity | None, report: list[Problem]) -> Conversion:
    if quantity is None or head.unit is None:
        return IDENTITY
    way = conversion(head.unit, quantity.unit)
    if way is None:
        known = ", ".join(units_for(quantity.unit))
        sentence = f"unit {head.unit!r} is none of {quantity.id}; UCUM units that can be converted are {known}"
        report.append(table.place_of("unit").problem(sentence))
    return way or IDENTITY


def _range(head: PointTable, way: Conversion, quantity: Quantity | None) -> Range | None:
    """Return the device's range; without one, what a greenhouse can plausibly show."""
    if head.range is None:
        if quantity is None or math.isinf(quantity.high):
            return None
        return Range(low=quantity.low, high=quantity.high)
    low, high = sorted(way.apply(value) for value in head.range)
    return Range(low=low, high=high)
