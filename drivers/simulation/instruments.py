"""The instruments of the site file on one serial port, together. No I/O."""

import random
import re
from collections.abc import Sequence

from drivers.decoders.mhz19 import REQUEST
from drivers.simulation.ezo_circuit import EzoCircuit
from drivers.simulation.frames import can_frame, frame
from drivers.simulation.line import GREETING, Speaker, Utterance, disturbed
from drivers.simulation.sdi12_bus import Sdi12Bus
from drivers.simulation.serial_device import SerialDevice
from drivers.simulation.site import SimulatedSite

QUESTION_LENGTH_MAX = 256
# What an ESP8266 says before its program runs.
BOOT_MESSAGE = b"\r\n ets Jan  8 2013,rst cause:4, boot mode:(3,6)\r\n"


class Instrument:
    """One instrument whose frames are all alike: it is asked, or speaks each second. Implements Speaker."""

    def __init__(self, device: SerialDevice, site: SimulatedSite, *, seed: int = 0) -> None:
        self._device = device
        self._site = site
        self._chance = random.Random(f"{seed}/{device.device.device_id}")  # noqa: S311 - to be repeated
        self._question = _question(device)
        self._greeting = BOOT_MESSAGE if device.decoder == "lines" else GREETING
        self._pending = b""

    def heard(self, data: bytes, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002 - Speaker's signature
        """Take what arrived; answer if it is our question."""
        if self._question is None:
            return ()
        self._pending = (self._pending + data)[-QUESTION_LENGTH_MAX:]
        said: list[Utterance] = []
        while match := self._question.search(self._pending):
            self._pending = self._pending[match.end() :]
            said += self._say(match[0])
        return said

    def beat(self, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002
        """Speak, if this instrument is one that is not asked."""
        return self._say(b"") if self._question is None else ()

    def _say(self, question: bytes) -> Sequence[Utterance]:
        shown = self._site.shown(self._device.device)
        said = frame(self._device, shown)
        return disturbed(said, shown.fault, self._chance, question=question, greeting=self._greeting)


class Party:
    """Several instruments on one line: each hears everything. Implements Speaker."""

    def __init__(self, speakers: Sequence[Speaker]) -> None:
        self._speakers = speakers

    def heard(self, data: bytes, now_s: float) -> Sequence[Utterance]:
        """Let each hear it."""
        return [utterance for speaker in self._speakers for utterance in speaker.heard(data, now_s)]

    def beat(self, now_s: float) -> Sequence[Utterance]:
        """Let each speak."""
        return [utterance for speaker in self._speakers for utterance in speaker.beat(now_s)]


def instruments(devices: Sequence[SerialDevice], site: SimulatedSite, *, seed: int = 0) -> Party:
    """Put the instruments of one port together; those that we cannot speak for stay silent."""
    sensors = [device for device in devices if device.decoder == "sdi12"]
    speakers: list[Speaker] = [Sdi12Bus(sensors, site, seed=seed)] if sensors else []
    speakers += [EzoCircuit(device, site, seed=seed) for device in devices if device.decoder == "ezo"]
    speakers += [Instrument(device, site, seed=seed) for device in devices if can_frame(device)]
    return Party(speakers)


def is_served(device: SerialDevice) -> bool:
    """Whether we can speak for an instrument."""
    return device.decoder in {"sdi12", "ezo"} or can_frame(device)


def _question(device: SerialDevice) -> re.Pattern[bytes] | None:
    """Return what this instrument answers to; None if it speaks by itself."""
    if device.decoder == "mhz19" and not device.ask:
        return re.compile(re.escape(REQUEST))
    if not device.ask:
        return None
    if device.decoder == "wxt":
        return re.compile(rb"%b[Rr][0-9]\r\n" % re.escape(device.address.encode("latin-1")))
    text = re.escape(device.ask.replace("{address}", device.address).encode("latin-1"))
    return re.compile(text.replace(re.escape(b"{compensation}"), rb"[-+0-9.]+"))
