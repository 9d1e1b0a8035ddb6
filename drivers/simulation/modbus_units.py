"""The simulated devices of one Modbus line or host: a request's PDU in, an answer's PDU out. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.decoders.modbus_options import BIT_TABLES, Table
from drivers.simulation.faults import Fault
from drivers.simulation.register_map import RegisterMap, ServedUnit, Tables
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import SimulatedSite

TABLE_OF_FUNCTION: Mapping[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
WRITTEN_TABLE: Mapping[int, Table] = {5: "coil", 6: "holding", 15: "coil", 16: "holding"}
# The protocol's limits for one read.
BITS_MAX, REGISTERS_MAX = 2000, 125

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, BUSY = 1, 2, 3, 6
_EXCEPTION_BIT = 0x80
_ON = 0xFF00
_SILENT = frozenset({Fault.SILENT, Fault.OFFLINE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a unit answers, and what is wrong with it meanwhile."""

    pdu: bytes
    fault: Fault | None


class _Refused(Exception):  # noqa: N818 - an exception code
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Unit:
    """What answers to one unit id; a site file may split it into several devices."""

    def __init__(self, site: SimulatedSite) -> None:
        self._site = site
        self._devices: list[tuple[SimulatedDevice, RegisterMap]] = []
        # What was written stays; it goes before what the model says.
        self._written: Tables = {"coil": {}, "holding": {}}

    def add(self, device: SimulatedDevice) -> None:
        self._devices.append((device, RegisterMap(device)))

    @property
    def fault(self) -> Fault | None:
        return self._site.fault(self._devices[0][0])

    def answer(self, pdu: bytes) -> bytes:
        function = pdu[0]
        if function in TABLE_OF_FUNCTION and len(pdu) == 5:
            return self._read(TABLE_OF_FUNCTION[function], function, _word(pdu, 1), _word(pdu, 3))
        if function in WRITTEN_TABLE and len(pdu) >= 5:
            return self._write(pdu)
        raise _Refused(ILLEGAL_FUNCTION)

    def _read(self, table: Table, function: int, start: int, count: int) -> bytes:
        if not 1 <= count <= (BITS_MAX if table in BIT_TABLES else REGISTERS_MAX):
            raise _Refused(ILLEGAL_VALUE)
        held: dict[int, int] = {}
        for device, registers in self._devices:
            held.update(registers.image(self._site.shown(device))[table])
        held.update(self._written.get(table, {}))
        if start not in held or start + count - 1 not in held:
            raise _Refused(ILLEGAL_ADDRESS)
        # Registers between those of the profile exist as well; their contents are not known.
        values = [held.get(address, 0) for address in range(start, start + count)]
        data = _bits(values) if table in BIT_TABLES else b"".join(value.to_bytes(2, "big") for value in values)
        return bytes((function, len(data))) + data

    def _write(self, pdu: bytes) -> bytes:
        """Take whatever is written: setup registers stand in no profile."""
        function, start, second = pdu[0], _word(pdu, 1), _word(pdu, 3)
        if function == 5:
            values = [int(second == _ON)]
        elif function == 6:
            values = [second]
        else:
            values = _written_values(pdu, second)
        self._written[WRITTEN_TABLE[function]].update(enumerate(values, start=start))
        return pdu[:5]


class ModbusUnits:
    """All units of one line or host."""

    def __init__(self, units: Sequence[ServedUnit], site: SimulatedSite) -> None:
        self._units: dict[int, _Unit] = {}
        for unit in units:
            self._units.setdefault(unit.address, _Unit(site)).add(unit.device)

    def reply(self, address: int, pdu: bytes) -> Reply | None:
        """Answer a request; None for a unit that is not there or silent."""
        unit = self._units.get(address)
        if unit is None or not pdu:
            return None
        fault = unit.fault
        if fault in _SILENT:
            return None
        try:
            answer = _exception(pdu, BUSY) if fault is Fault.BUSY else unit.answer(pdu)
        except _Refused as refused:
            answer = _exception(pdu, refused.code)
        return Reply(pdu=answer, fault=fault)


def _exception(pdu: bytes, code: int) -> bytes:
    return bytes((pdu[0] | _EXCEPTION_BIT, code))


def _written_values(pdu: bytes, count: int) -> list[int]:
    data = pdu[6:]
    if len(pdu) < 6 or len(data) != pdu[5]:
        raise _Refused(ILLEGAL_VALUE)
    if pdu[0] == 15:
        values = [data[place // 8] >> place % 8 & 1 for place in range(min(count, 8 * len(data)))]
    else:
        values = [_word(data, place) for place in range(0, len(data) - 1, 2)]
    # Some devices are started by a write of no registers (Yosemitech); no other count may be wrong.
    if len(values) != count:
        raise _Refused(ILLEGAL_VALUE)
    return values


def _word(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 2], "big")


def _bits(values: Sequence[int]) -> bytes:
    data = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        data[place // 8] |= value << place % 8
    return bytes(data)
