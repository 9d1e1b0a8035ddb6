"""A device that sends by itself: its frames are kept, and a poll takes the newest.

So the poll interval in force thins it, and its silence is that of any other device. A sample is what arrived since the
poll before, the newest of each field, and nothing that is older than the response time-out: each word counts once. A
device that speaks less often needs a longer `response_timeout_ms`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.decoders.dialogue import NoAnswer
from drivers.decoders.frame import Field, FrameMalformed
from drivers.serial.decoders import frame_reader
from drivers.serial.exchange import is_restart
from drivers.serial.options import SerialConnectionOptions, SerialDeviceOptions
from drivers.serial.points import DevicePoints
from drivers.serial.port import Chunk, Port
from edge.domain.reading import Reading
from edge.domain.settings import DeviceSettings


@dataclass(frozen=True, slots=True)
class _Heard:
    field: Field
    at_s: float


class ContinuousDevice:
    """Listens to the one device of a port."""

    def __init__(self, device: DeviceSettings, line: SerialConnectionOptions) -> None:
        assert isinstance(device.options, SerialDeviceOptions)
        self._options = options = device.options
        self._points = DevicePoints(device)
        self._reader = frame_reader(options, self._points.wanted)
        timeout_ms = line.response_timeout_ms if options.response_timeout_ms is None else options.response_timeout_ms
        self.response_timeout_s = timeout_ms / 1000
        self._heard: dict[str, _Heard] = {}
        self._trouble: FrameMalformed | None = None
        self._left_to_discard = 0
        self._is_set_up = False

    def opened(self) -> None:
        """Learn that the port was opened: in the middle of a frame, most likely."""
        self._reader.decoder.reset()
        self._heard.clear()
        self._left_to_discard = max(1, self._options.discard_frames)
        self._is_set_up = False

    async def read(self, port: Port) -> Mapping[str, Reading]:
        """Return what was said since the last call, or wait for it.

        Returns when all points came, or at the end of the response time-out those that did. Raises NoAnswer if it said
        nothing, FrameMalformed if it said only what is no frame, ConnectionLost.
        """
        loop = asyncio.get_running_loop()
        await self._set_up(port)
        asked_s = loop.time()
        until_s = asked_s + self.response_timeout_s
        while True:
            is_over = loop.time() >= until_s
            for chunk in port.take():
                self._hear(chunk)
            fresh = self._fresh(asked_s - self.response_timeout_s)
            if is_over or len(fresh) == len(self._points.wanted):
                break
            await port.wait(until_s)
        self._heard.clear()
        trouble, self._trouble = self._trouble, None
        if not fresh:
            raise trouble or NoAnswer
        return self._points.readings(fresh)

    def _fresh(self, since_s: float) -> dict[str, Field]:
        return {name: heard.field for name, heard in self._heard.items() if heard.at_s >= since_s}

    def _hear(self, chunk: Chunk) -> None:
        if chunk.is_torn:
            self._reader.decoder.reset()
            self._left_to_discard = max(1, self._left_to_discard)
        for frame in self._reader.decoder.feed(chunk.data):
            if is_restart(frame):
                self._is_set_up = False
            if self._left_to_discard:
                self._left_to_discard -= 1
                continue
            try:
                fields = self._reader.fields(frame)
            except FrameMalformed as error:
                error.add_note(f"frame: {frame!r}")
                self._trouble = error
                continue
            self._heard.update((name, _Heard(field, chunk.arrived_s)) for name, field in fields.items())

    async def _set_up(self, port: Port) -> None:
        if self._is_set_up:
            return
        for text in self._options.setup:
            await port.send(text.replace("{address}", self._options.address).encode("latin-1"))
            await asyncio.sleep(self._options.setup_pause_ms / 1000)
        self._is_set_up = True
