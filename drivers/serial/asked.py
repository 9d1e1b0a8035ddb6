"""A device that answers when it is asked."""

from collections.abc import Mapping
from functools import partial

import structlog

from drivers.decoders.dialogue import Dialogue, Fields, NoAnswer, instruction, question
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.sdi12 import measurement
from drivers.serial.decoders import ADDRESSED, frame_reader, request_of
from drivers.serial.exchange import Exchange, LineDevice
from drivers.serial.options import FALLBACK, SerialConnectionOptions, SerialDeviceOptions
from drivers.serial.points import DevicePoints
from edge.domain.driver import DriverContext
from edge.domain.reading import Quality, Reading, Reason
from edge.domain.settings import DeviceSettings

# A device that restarts during its answer is set up and asked once more; one that restarts again has no power.
ATTEMPTS = 2

log = structlog.get_logger()


class AskedDevice:
    """Asks one device for all its points, and sets it up before the first question."""

    def __init__(self, device: DeviceSettings, line: SerialConnectionOptions, context: DriverContext) -> None:
        assert isinstance(device.options, SerialDeviceOptions)
        self._id = device.id
        self._options = options = device.options
        self._latest = context.latest
        self._points = DevicePoints(device)
        self._reader = frame_reader(options, self._points.wanted)
        timeout_ms = line.response_timeout_ms if options.response_timeout_ms is None else options.response_timeout_ms
        self.response_timeout_s = timeout_ms / 1000
        gap_ms = line.request_gap_ms if options.request_gap_ms is None else options.request_gap_ms
        self._line_device = LineDevice(
            decoder=self._reader.decoder,
            response_timeout_s=self.response_timeout_s,
            gap_s=gap_ms / 1000,
            says_address=options.decoder in ADDRESSED,
        )
        self._left_to_discard = 0
        # How many restarts had been heard when the device was set up; None = it is not.
        self._set_up_at: int | None = None

    def opened(self) -> None:
        """Learn that the port was opened: nothing is known of the device."""
        self._left_to_discard = self._options.discard_frames
        self._set_up_at = None

    async def read(self, exchange: Exchange) -> Mapping[str, Reading]:
        """Ask once. Raises NoAnswer, FrameMalformed or ConnectionLost."""
        for _ in range(ATTEMPTS):
            await self._set_up(exchange)
            readings = await self._read(exchange)
            if self._is_set_up(exchange):
                return readings
        raise FrameMalformed("it restarts again and again; is its power sufficient?")

    async def _read(self, exchange: Exchange) -> Mapping[str, Reading]:
        while self._left_to_discard:
            await self._ask(exchange, self._request()[0])
            self._left_to_discard -= 1
        request, reason = self._request()
        return self._points.readings(await self._ask(exchange, request), reason)

    async def _ask(self, exchange: Exchange, request: bytes) -> Fields:
        def dialogue(is_owed: bool) -> Dialogue[Fields]:
            if self._options.decoder == "sdi12":
                return self._measured(is_owed)
            return question(request, self._reader.fields, self._points.wanted, to_the_end=is_owed)

        try:
            return await exchange.run_dialogue(self._line_device, dialogue)
        except NoAnswer:
            # It may have been without power; then it has forgotten its setup.
            self._set_up_at = None
            raise

    def _measured(self, is_owed: bool) -> Dialogue[Fields]:
        fields = yield from measurement(self._options.address, self._options.command, to_the_end=is_owed)
        missing = self._points.wanted - fields.keys()
        if missing:
            raise FrameMalformed(f"the sensor gives {len(fields)} values; there is no number {', '.join(missing)}")
        return fields

    async def _set_up(self, exchange: Exchange) -> None:
        if self._is_set_up(exchange):
            return
        restarts = exchange.restarts
        for text in self._options.setup:
            try:
                await exchange.run_dialogue(self._line_device, partial(self._instructed, text))
            except FrameMalformed as refusal:
                log.warning("serial_setup_refused", device_id=self._id, line=text, error=str(refusal))
        self._set_up_at = restarts

    def _instructed(self, text: str, _is_owed: bool) -> Dialogue[Fields]:
        line = self._filled(text.encode("latin-1"))
        return instruction(line, self._reader.decoder.fields, pause_s=self._options.setup_pause_ms / 1000)

    def _is_set_up(self, exchange: Exchange) -> bool:
        return not self._options.setup or self._set_up_at == exchange.restarts

    def _request(self) -> tuple[bytes, Reason | None]:
        """Return the question, and what speaks against its answer."""
        request = self._filled(request_of(self._options))
        if b"{compensation}" not in request:
            return request, None
        value = self._compensation()
        reason = Reason.UNCOMPENSATED if value is None else None
        if value is None:
            value = FALLBACK if self._options.compensation is None else self._options.compensation.fallback
        return request.replace(b"{compensation}", repr(round(float(value), 3)).encode()), reason

    def _compensation(self) -> float | None:
        """Return the other point's newest value, if it is good and not too old."""
        source = self._options.compensation
        latest = None if source is None else self._latest(source.device, source.point)
        if source is None or latest is None or latest.age_s > source.max_age_s:
            return None
        value = latest.reading.value
        if latest.reading.quality is not Quality.GOOD or isinstance(value, bool | str | None):
            return None
        return value

    def _filled(self, text: bytes) -> bytes:
        return text.replace(b"{address}", self._options.address.encode("latin-1"))
