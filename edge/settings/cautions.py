"""Warnings of valid site files that often fail in the field: `check` warns, the daemon runs (DESIGN section 8)."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from edge.domain.event_store_uri import is_encrypted
from edge.domain.settable import Limits, Part, Remote, permitted
from edge.domain.settings import DeviceSettings, PointSettings, Settings
from edge.settings.document import Table
from edge.settings.placed import PlacedConnection, serial_port
from edge.settings.problems import Problem
from edge.settings.profile import Profile
from edge.settings.profile_places import ProfilePlaces

Profiles = Mapping[tuple[str, str], Profile | None]

# Addresses of Modbus that mean more than one device: broadcast, and those that many devices answer besides their own.
_ADDRESSES_OF_ALL = (0, 254, 255)
# Numbered in the order of plugging in: another one after the next power cut.
_NUMBERED_PORT = re.compile(r"/dev/tty(USB|ACM)\d+")


def cautions(
    whole: Table,
    settings: Settings,
    connections: Sequence[PlacedConnection],
    *,
    profiles: Profiles,
    places: ProfilePlaces,
) -> list[Problem]:
    """Return the warnings of a site file without mistakes, in the order of the file."""
    found = [*_site_cautions(whole, settings)]
    for placed in connections:
        if not placed.connection.is_used:
            sentence = "the connection has no devices: scan it, then add [[connection.device]]"
            found.append(placed.table.place.problem(sentence))
        found.extend(_line_cautions(placed, profiles))
        found.extend(_address_cautions(placed))
        found.extend(_interval_cautions(placed))
        found.extend(_group_cautions(placed))
        found.extend(placed.problems(placed.kind.cautions))
        for table, device in placed.described:
            found.extend(_device_cautions(table, device))
            found.extend(_profile_cautions(table, device, places))
    return sorted(dict.fromkeys(found), key=lambda problem: (problem.line, problem.column))


def _site_cautions(whole: Table, settings: Settings) -> Iterator[Problem]:
    if not settings.devices() and not any(connection.groups for connection in settings.connections):
        yield whole.place.problem("there is no device yet: nothing will be measured")
    event_store = whole.table("event_store", [])
    ca_file = settings.event_store.ca_file
    if ca_file is not None and not ca_file.is_file():
        yield event_store.place_of("ca_file").problem(f"there is no file {ca_file} on this machine")
    if settings.event_store.credential is not None and not is_encrypted(settings.event_store.uri):
        yield event_store.place_of("credential").problem(
            "with tls=false the credential crosses the network unencrypted"
        )
    streams = whole.table("streams", [])
    for item in fields(settings.streams):
        template: str = getattr(settings.streams, item.name)
        if item.name != "recipes" and "{gateway}" not in template and "{site}" not in template:
            sentence = "holds neither {gateway} nor {site}: a second gateway would write into the same stream"
            yield streams.place_of(item.name).problem(f"{item.name} {sentence}")


def _line_cautions(placed: PlacedConnection, profiles: Profiles) -> Iterator[Problem]:
    """Warn of lines that differ from the factory's settings, and of ports that change their names."""
    for key, value in placed.table.values.items():
        if isinstance(value, str) and _NUMBERED_PORT.fullmatch(value):
            sentence = f"{value} may be another port after a restart; take the name in /dev/serial/by-id/"
            yield placed.table.place_of(key).problem(sentence)
    options = placed.connection.options
    if not serial_port(options):
        return
    for table, device in placed.described:
        profile = profiles.get((device.profile.id, placed.connection.driver)) if device.profile else None
        if profile is None:
            continue
        for item in fields(profile.line):
            factory, here = getattr(profile.line, item.name), getattr(options, item.name, None)
            if factory is not None and here is not None and factory != here:
                sentence = f"{device.id} leaves the factory with {item.name} = {factory}, the line has {here}"
                yield table.place_of("profile").problem(sentence)


def _address_cautions(placed: PlacedConnection) -> Iterator[Problem]:
    """Numbers of units on a bus; other buses have letters, and their drivers know what may be there twice."""
    found = [(table, device.id, getattr(device.options, "address", None)) for table, device in placed.devices]
    numbered = [(table, device_id, address) for table, device_id, address in found if isinstance(address, int)]
    if len(numbered) < 2:
        return
    counts = Counter(address for _, _, address in numbered)
    for table, device_id, address in numbered:
        place = table.place_of("address")
        if address in _ADDRESSES_OF_ALL:
            yield place.problem(f"{device_id} has address {address}, which other devices may answer or obey, too")
        elif counts[address] > 1:
            yield place.problem(f"{device_id} has address {address}, as {counts[address] - 1} other on this connection")


def _interval_cautions(placed: PlacedConnection) -> Iterator[Problem]:
    """Warn of poll intervals where devices are not polled."""
    if placed.kind.max_silence_s is None:
        return
    inner = [item for table, _ in placed.described for item in (table, table.table("remote", []))]
    for table in (placed.table, *inner):
        if "poll_interval_s" in table.values:
            sentence = "poll_interval_s means nothing here: these devices speak when they like; see max_silence_s"
            yield table.place_of("poll_interval_s").problem(sentence)


def _group_cautions(placed: PlacedConnection) -> Iterator[Problem]:
    for table, group in placed.groups:
        if not group.names and not group.adopt:
            sentence = f"{group.id} has no names and adopts none: what is seen is only listed by `status`"
            yield table.place.problem(sentence)


def _device_cautions(table: Table, device: DeviceSettings) -> Iterator[Problem]:
    yield from _outside_cautions(table.table("remote", []), Part.DEVICE, device.remote, device)
    points = table.table("point", [])
    for point in device.points:
        yield from _outside_cautions(points.table(point.id, []).table("remote", []), Part.POINT, point.remote, point)


def _profile_cautions(table: Table, device: DeviceSettings, places: ProfilePlaces) -> Iterator[Problem]:
    """Warn of profiles with one id in two distributions: only a person knows the right one."""
    if device.profile is None or (used := places.find(device.profile.id)) is None:
        return
    for other in places.passed_over(device.profile.id):
        sentence = (
            f"the profile {device.profile.id!r} is that of {used.origin}; {other.origin} has another one of this id"
        )
        yield table.place_of("profile").problem(sentence)


def _outside_cautions(
    table: Table, part: Part, remote: Remote, own: DeviceSettings | PointSettings
) -> Iterator[Problem]:
    """Warn of a value outside its own limits: an update may keep it or return to it, but not come near it."""
    for row, limits in permitted(part, remote):
        value = row.value_in(own)
        if isinstance(limits, Limits) and not limits.allow(value):
            outside = f"{value:g}, is not from {limits.minimum:g} to {limits.maximum:g}"
            yield table.place_of(row.attribute).problem(f"the site file's own {row.attribute}, {outside}")
