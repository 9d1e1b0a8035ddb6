"""SDI-12 sensors behind a transparent adapter (SDI-12 v1.4, section 4.4): commands in, lines out. No I/O."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.decoders.sdi12 import checksum
from drivers.simulation.line import Utterance, disturbed
from drivers.simulation.raw_values import written
from drivers.simulation.serial_device import SerialDevice
from drivers.simulation.site import SimulatedSite

# Sensors of the field announce a second and are ready sooner.
ANNOUNCED_S = 1
READY_S = 0.4
COMMAND_LENGTH_MAX = 16
# Characters of values in one answer: to M and to C or R.
VALUES_LENGTH_MAX, VALUES_LENGTH_MAX_CONCURRENT = 35, 75

_COMMAND = re.compile(
    r"(?P<address>[0-9A-Za-z?])(?:(?P<kind>[MCR])(?P<crc>C?)(?P<number>[0-9]?)|D(?P<part>[0-9])|(?P<identify>I))?"
)
_IDENTITY = "14GREENHSESIMUL 100"


@dataclass(slots=True)
class _Measured:
    """The values of the last measurement of one sensor, cut into answers."""

    parts: list[str]
    has_checksum: bool


class Sdi12Bus:
    """All sensors of one adapter. Implements Speaker."""

    def __init__(self, devices: Sequence[SerialDevice], site: SimulatedSite, *, seed: int = 0) -> None:
        self._devices = devices
        self._site = site
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._pending = ""
        self._measured: dict[str, _Measured] = {}

    def heard(self, data: bytes, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002 - Speaker's signature
        """Take what arrived; return the answers to the commands that are whole now."""
        *commands, self._pending = (self._pending + data.decode("latin-1")).split("!")
        self._pending = self._pending[-COMMAND_LENGTH_MAX:]
        return [utterance for command in commands for utterance in self._answer(command.strip("\0\r\n "))]

    def beat(self, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002
        """Say nothing: sensors only answer."""
        return ()

    def _answer(self, command: str) -> Sequence[Utterance]:
        match = _COMMAND.fullmatch(command)
        device = None if match is None else self._asked(match)
        if match is None or device is None:
            return ()
        address = self._address(device)
        fault = self._site.fault(device.device)
        said = self._line(address, match, device)
        answer = disturbed(f"{said}\r\n".encode(), fault, self._chance, question=f"{command}!".encode())
        is_announced = match["kind"] == "M" and not said.startswith(f"{address}000") and answer
        # The service request: ready before the announced time.
        return [*answer, Utterance(f"{address}\r\n".encode(), READY_S)] if is_announced else answer

    def _asked(self, match: re.Match[str]) -> SerialDevice | None:
        """Return the sensor that a command is for; the wild card is for a bus with one."""
        address = match["address"]
        if address == "?" and len({device.address for device in self._devices}) > 1:
            # All would answer at once.
            return None
        there = [device for device in self._devices if "?" in {address, device.address} or device.address == address]
        wanted = f"{match['kind']}{match['number']}"
        return next((device for device in there if _plain(device.command) == wanted), next(iter(there), None))

    @staticmethod
    def _address(device: SerialDevice) -> str:
        return "0" if device.address == "?" else device.address

    def _line(self, address: str, match: re.Match[str], device: SerialDevice) -> str:
        if match["identify"]:
            return f"{address}{_IDENTITY}"
        if match["part"]:
            measured = self._measured.get(address, _Measured([""], has_checksum=False))
            number = int(match["part"])
            part = measured.parts[number] if number < len(measured.parts) else ""
            return _with_checksum(f"{address}{part}", needed=measured.has_checksum)
        if not match["kind"]:
            return address
        values = self._values(device)
        if match["kind"] == "R":
            return _with_checksum(f"{address}{''.join(values)}", needed=bool(match["crc"]))
        is_concurrent = match["kind"] == "C"
        length_max = VALUES_LENGTH_MAX_CONCURRENT if is_concurrent else VALUES_LENGTH_MAX
        self._measured[address] = _Measured(_parts(values, length_max), has_checksum=bool(match["crc"]))
        return f"{address}{ANNOUNCED_S:03}{len(values):0{2 if is_concurrent else 1}}"

    def _values(self, device: SerialDevice) -> list[str]:
        """Return the values in the order of their fields, each with its sign."""
        values = device.field_values(self._site.shown(device.device))
        count = 1 + max((int(name) for name in values if name.isdecimal()), default=0)
        return [_signed(values.get(str(number))) for number in range(count)]


def _plain(command: str) -> str:
    """Return a command without the letter that asks for a checksum."""
    return command[:1] + command[1:].removeprefix("C")


def _signed(raw: object) -> str:
    number = float(raw) if isinstance(raw, int | float) else 0.0
    whole = len(str(abs(int(number))))
    # Seven digits are the most that the standard allows.
    text = written(round(abs(number), max(0, 7 - whole)))
    return f"{'-' if number < 0 else '+'}{text[:8]}"


def _parts(values: Sequence[str], length_max: int) -> list[str]:
    parts = [""]
    for value in values:
        if len(parts[-1]) + len(value) > length_max:
            parts.append("")
        parts[-1] += value
    return parts


def _with_checksum(text: str, *, needed: bool) -> str:
    return text + checksum(text) if needed else text
