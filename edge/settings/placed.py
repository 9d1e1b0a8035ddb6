"""A connection with its place in the site file, so that each mistake of it gets its line."""

import os.path
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from drivers import DriverUnknown, foreign_code
from edge.domain.device_group import member_id
from edge.domain.driver import DriverKind
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings
from edge.settings.adapt import mistake_at
from edge.settings.document import Place, Table
from edge.settings.problems import Problem

# The error of a third party's driver whose code failed when it checked the options.
BROKE_ON_OPTIONS = "broke on its options"


@dataclass(frozen=True, kw_only=True)
class PlacedConnection:
    """One connection without mistakes of its own."""

    table: Table
    kind: DriverKind
    connection: ConnectionSettings
    # Each `[[connection.device]]`, and each `[[connection.device_group]]`.
    devices: Sequence[tuple[Table, DeviceSettings]]
    groups: Sequence[tuple[Table, DeviceGroup]]

    @property
    def described(self) -> list[tuple[Table, DeviceSettings]]:
        """Everything that the site file describes with a table of its own: devices, and groups by their template."""
        return [*self.devices, *((table, group.template) for table, group in self.groups)]

    def problems(self, ask: Callable[[ConnectionSettings], Iterable[tuple[str, str]]]) -> list[Problem]:
        """Give places to the driver's sentences, each with a device or group id, or "" for the connection."""
        try:
            with foreign_code(self.kind.name, BROKE_ON_OPTIONS):
                said = [(str(device_id), str(sentence)) for device_id, sentence in ask(self.connection)]
        except DriverUnknown as error:
            return [self.table.place_of("driver").problem(str(error))]
        tables = {device.id: table for table, device in self.described}
        names = self._names()
        problems = []
        for device_id, sentence in said:
            if device_id in names:
                problems.append(names[device_id].problem(sentence))
            else:
                problems.append(mistake_at(tables.get(device_id, self.table), sentence))
        return problems

    def _names(self) -> dict[str, Place]:
        places: dict[str, Place] = {}
        for table, group in self.groups:
            for index, name in enumerate(group.names):
                places.setdefault(member_id(group, name) or "", table.place_of("names").inner(index))
        places.pop("", None)
        return places


def serial_port(options: object) -> str:
    """Return the serial port that a connection's options name; empty if they name none."""
    port = getattr(options, "serial_port", None)
    return port if isinstance(port, str) else ""


def port_problems(connections: Iterable[PlacedConnection]) -> Iterator[Problem]:
    """Return a mistake for each connection on a serial port of another one: both would get wrong answers."""
    owners: dict[str, str] = {}
    for placed in connections:
        port = serial_port(placed.connection.options)
        if not port:
            continue
        # Two links of one port are one port, where it is plugged in already.
        owner = owners.setdefault(os.path.realpath(port), placed.connection.id)
        if owner != placed.connection.id:
            place = placed.table.place_of("serial_port")
            yield place.problem(f"serial_port is {port}, as in connection {owner!r}; one line is one connection")
