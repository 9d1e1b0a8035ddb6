"""An Atlas EZO circuit as it answers on its UART (EZO-pH data sheet): readings, codes, continuous mode. No I/O."""

import random
import re
from collections.abc import Mapping, Sequence

from drivers.simulation.faults import Fault
from drivers.simulation.line import Utterance, disturbed
from drivers.simulation.raw_values import written
from drivers.simulation.serial_device import SerialDevice
from drivers.simulation.site import Shown, SimulatedSite

# A pH circuit takes 900 ms for a reading, 300 ms for other commands.
READING_S = 0.9
COMMAND_S = 0.3
COMMAND_LENGTH_MAX = 40

# What a circuit calls itself, by what it measures.
_NAMES: Mapping[str | None, str] = {
    "ph": "pH",
    "ec": "EC",
    "dissolved_oxygen": "DO",
    "redox_potential": "ORP",
    "water_temperature": "RTD",
}
_READ = re.compile(r"R|RT,[-+0-9.]+", re.IGNORECASE)
# Settings that are taken and change nothing here.
_SETTING = re.compile(r"(?:T|O|K|L|S|Name|Plock|Cal)(?:,.*)?", re.IGNORECASE)
_OK, _ERROR, _ASLEEP, _RESTARTED = "*OK", "*ER", "*SL", "*RS\r*RE"


class EzoCircuit:
    """One circuit; it begins in continuous mode, as from the factory. Implements Speaker."""

    def __init__(self, device: SerialDevice, site: SimulatedSite, *, seed: int = 0) -> None:
        self._device = device
        self._site = site
        self._chance = random.Random(f"{seed}/{device.device.device_id}")  # noqa: S311 - to be repeated
        self._pending = b""
        self._is_continuous = True
        # Response codes: *OK after what was understood.
        self._acknowledges = True
        quantity = device.device.points[0].quantity if device.device.points else None
        self._replies = {
            "I": f"?I,{_NAMES.get(quantity, 'pH')},2.16",
            "STATUS": "?Status,P,5.038",
            "FACTORY": _RESTARTED,
            "X": _RESTARTED,
        }

    def heard(self, data: bytes, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002 - Speaker's signature
        """Take what arrived; return the answers to the commands that are whole now."""
        *lines, self._pending = (self._pending + data).split(b"\r")
        self._pending = self._pending[-COMMAND_LENGTH_MAX:]
        return [utterance for line in lines for utterance in self._answer(line)]

    def beat(self, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002
        """Say a reading each second until C,0 is sent."""
        shown = self._site.shown(self._device.device)
        return self._said(self._reading(shown), shown.fault) if self._is_continuous else ()

    def _answer(self, line: bytes) -> Sequence[Utterance]:
        command = line.decode("latin-1").strip()
        if not command:
            return ()
        shown = self._site.shown(self._device.device)
        if _READ.fullmatch(command):
            said = self._said(self._with_ok(self._reading(shown)), shown.fault, question=line + b"\r")
            return self._after(READING_S, said)
        said = self._said(self._reply(command), shown.fault, question=line + b"\r")
        return self._after(min(COMMAND_S, READING_S), said)

    def _reply(self, command: str) -> str:
        word, _, argument = command.upper().partition(",")
        if word in {"C", "*OK"}:
            return self._with_ok(self._switched(word, argument))
        if word == "SLEEP":
            return _ASLEEP
        if word in self._replies:
            return self._with_ok(self._replies[word])
        return self._with_ok("") if _SETTING.fullmatch(command) else _ERROR

    def _switched(self, word: str, argument: str) -> str:
        """Switch continuous mode or response codes, or say how they stand."""
        if argument == "?":
            return f"?C,{int(self._is_continuous)}" if word == "C" else f"?*OK,{int(self._acknowledges)}"
        if word == "C":
            self._is_continuous = argument != "0"
        else:
            self._acknowledges = argument != "0"
        return ""

    def _reading(self, shown: Shown) -> str:
        """Return the values in the order of their fields; a circuit without its probe has no output."""
        if shown.fault is Fault.NOT_A_NUMBER:
            return "no output"
        values = self._device.field_values(shown)
        numbered = {int(name): raw for name, raw in values.items() if name.isdecimal()}
        if not numbered:
            numbered = dict(enumerate(values.values()))
        ordered = [numbered.get(number, 0.0) for number in range(max(numbered, default=0) + 1)]
        return ",".join("0" if raw is None else written(raw) for raw in ordered)

    def _with_ok(self, text: str) -> str:
        parts = [text] if text else []
        return "\r".join([*parts, _OK] if self._acknowledges else parts)

    def _said(self, text: str, fault: Fault | None, *, question: bytes = b"") -> Sequence[Utterance]:
        if not text:
            return ()
        return disturbed(text.encode() + b"\r", fault, self._chance, question=question, greeting=b"*RS\r*RE\r")

    @staticmethod
    def _after(wait_s: float, said: Sequence[Utterance]) -> Sequence[Utterance]:
        return [Utterance(utterance.data, utterance.after_s + wait_s) for utterance in said]
