"""What a site file may say and yet fails in the field: `check` warns, the daemon runs (DESIGN section 8)."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TypeVar

from edge.domain.settings import ConnectionSettings, DeviceSettings, Limits, PointSettings, Settings
from edge.settings.document import Table
from edge.settings.problems import Problem
from edge.settings.profile import Profile

Profiles = Mapping[tuple[str, str], Profile | None]
Item = TypeVar("Item")

# Addresses of Modbus that mean more than one device: broadcast, and what many take as "whoever hears this".
_ADDRESSES_OF_ALL = (0, 254, 255)
# Numbered in the order of plugging in: another one after the next power cut.
_NUMBERED_PORT = re.compile(r"/dev/tty(USB|ACM)\d+")


def cautions(whole: Table, settings: Settings, profiles: Profiles) -> list[Problem]:
    """Return the warnings of a site file without mistakes, in the order of the file."""
    found = [*_site_cautions(whole, settings)]
    for table, connection in _pairs(whole, "connection", settings.connections):
        found.extend(_line_cautions(table, connection, profiles))
        found.extend(_address_cautions(table, connection))
        for device_table, device in _pairs(table, "device", connection.devices):
            found.extend(_device_cautions(device_table, device))
    return sorted(dict.fromkeys(found), key=lambda problem: (problem.line, problem.column))


def _pairs(table: Table, key: str, items: tuple[Item, ...]) -> Iterator[tuple[Table, Item]]:
    return zip(table.tables(key, []), items, strict=True)


def _site_cautions(whole: Table, settings: Settings) -> Iterator[Problem]:
    if not settings.devices():
        yield whole.place.problem("there is no device yet: nothing will be measured")
    event_store = whole.table("event_store", [])
    ca_file = settings.event_store.ca_file
    if ca_file is not None and not ca_file.is_file():
        yield event_store.place_of("ca_file").problem(f"there is no file {ca_file} on this machine")
    if settings.event_store.credential is not None and "tls=false" in settings.event_store.uri.lower():
        yield event_store.place_of("credential").problem(
            "with tls=false the credential crosses the network unencrypted"
        )
    streams = whole.table("streams", [])
    for item in fields(settings.streams):
        template: str = getattr(settings.streams, item.name)
        if item.name != "recipes" and "{gateway}" not in template and "{site}" not in template:
            sentence = "holds neither {gateway} nor {site}: a second gateway would write into the same stream"
            yield streams.place_of(item.name).problem(f"{item.name} {sentence}")


def _line_cautions(table: Table, connection: ConnectionSettings, profiles: Profiles) -> Iterator[Problem]:
    """What the factory set, where the connection says otherwise; and ports that change their names."""
    for key, value in table.values.items():
        if isinstance(value, str) and _NUMBERED_PORT.fullmatch(value):
            sentence = f"{value} may be another port after a restart; take the name in /dev/serial/by-id/"
            yield table.place_of(key).problem(sentence)
    for device_table, device in _pairs(table, "device", connection.devices):
        profile = profiles.get((device.profile.id, connection.driver)) if device.profile else None
        if profile is None:
            continue
        for item in fields(profile.line):
            factory, here = getattr(profile.line, item.name), table.values.get(item.name)
            if factory is not None and here is not None and factory != here:
                sentence = f"{device.id} leaves the factory with {item.name} = {factory}, the line has {here}"
                yield device_table.place_of("profile").problem(sentence)


def _address_cautions(table: Table, connection: ConnectionSettings) -> Iterator[Problem]:
    addresses = Counter(getattr(device.options, "address", None) for device in connection.devices)
    for device_table, device in _pairs(table, "device", connection.devices):
        address = getattr(device.options, "address", None)
        place = device_table.place_of("address")
        if address is None or len(connection.devices) < 2:
            continue
        if address in _ADDRESSES_OF_ALL:
            yield place.problem(f"{device.id} has address {address}, which other devices may answer or obey, too")
        elif addresses[address] > 1:
            yield place.problem(
                f"{device.id} has address {address}, as {addresses[address] - 1} other on this connection"
            )


def _device_cautions(table: Table, device: DeviceSettings) -> Iterator[Problem]:
    remote = table.table("remote", [])
    yield from _outside(remote, "poll_interval_s", device.remote.poll_interval_s, device.poll_interval_s)
    points = table.table("point", [])
    for point in device.points:
        yield from _point_cautions(points.table(point.id, []).table("remote", []), point)


def _point_cautions(remote: Table, point: PointSettings) -> Iterator[Problem]:
    for item in fields(point.remote):
        yield from _outside(remote, item.name, getattr(point.remote, item.name), getattr(point, item.name))


def _outside(remote: Table, key: str, limits: Limits | None, value: float) -> Iterator[Problem]:
    """A value outside its own limits can be left from far, and returned to, but not be neared."""
    if limits is not None and not limits.allow(value):
        sentence = f"the site file's own {key}, {value:g}, is not from {limits.minimum:g} to {limits.maximum:g}"
        yield remote.place_of(key).problem(sentence)
