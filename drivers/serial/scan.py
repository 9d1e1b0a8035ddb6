"""What `scan` does at a serial port: it asks SDI-12 addresses and instruments, or it listens."""

import asyncio
import math
import re
import string
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager

from drivers.decoders.frame import FrameDecoder, FrameMalformed
from drivers.decoders.line_frames import LineFrames
from drivers.decoders.sdi12 import ANY_ADDRESS
from drivers.serial.decoders import create_decoder, request_of
from drivers.serial.options import Decoder, SerialConnectionOptions, SerialDeviceOptions
from drivers.serial.port import Port, open_port
from edge.domain.commissioning import Found, Search, Wishes
from edge.domain.driver import DriverContext
from edge.domain.settings import ConnectionSettings, DeviceSettings

SDI12_ADDRESSES = string.digits + string.ascii_lowercase + string.ascii_uppercase
# At 1200 baud, what an SDI-12 sensor says of itself takes 0.3 s; the adapter hands it over when it is complete.
IDENTIFICATION_S = 1.0
# These decoders find their frames themselves; all others have lines.
BINARY_DECODERS: frozenset[Decoder] = frozenset({"mhz19", "plantower"})
# More than a person looks through to see what is there.
LINES_MAX = 20
SHOWN_MAX = 100
STEP_S = 1.0
_IDENTIFICATION = re.compile(
    r"(?P<address>[0-9A-Za-z])(?P<major>[0-9])(?P<minor>[0-9])(?P<maker>.{8})(?P<model>.{6})(?P<version>.{3})(?P<more>.*)"
)
# What an EZO circuit is asked for its name and version.
EZO_INFORMATION = b"I\r"


def scan(connection: ConnectionSettings, wishes: Wishes) -> Search:
    """Return the search that fits what the site file has at the port."""
    devices = [device for device in connection.devices if _options(device).is_asked]
    timeout_s = wishes.timeout_ms / 1000
    if any(_options(device).decoder == "sdi12" for device in devices):
        return Search(
            rows_are="addresses",
            effort=f"{len(SDI12_ADDRESSES)} asked",
            steps=len(SDI12_ADDRESSES),
            run=lambda context: _addresses(connection, context, timeout_s),
        )
    if devices:
        return Search(
            rows_are="devices",
            effort=f"{len(devices)} asked",
            steps=len(devices),
            run=lambda context: _asked(connection, devices, context, timeout_s),
        )
    return Search(
        rows_are="lines",
        effort=f"listened for up to {wishes.seconds:g} s",
        # And what is left at the end.
        steps=steps_of(wishes.seconds) + 1,
        run=lambda context: _heard(connection, context, wishes.seconds),
    )


@asynccontextmanager
async def quiet_port(options: SerialConnectionOptions, context: DriverContext) -> AsyncIterator[Port]:
    """Open a port, and let what it says at its opening pass. Raises ConnectionLost, DriverMisconfigured."""
    async with open_port(options, context.folder) as port:
        await asyncio.sleep(options.settle_ms / 1000)
        port.take()
        yield port


async def ask(port: Port, question: bytes, timeout_s: float) -> bytes:
    """Send a question; return what came within the time, or until a line ended; the echo of it is left out.

    Raises ConnectionLost.
    """
    port.take()
    await port.send(question)
    until_s = asyncio.get_running_loop().time() + timeout_s
    heard = b""
    while not heard.removeprefix(question).endswith((b"\r", b"\n")) and await port.wait(until_s):
        heard += b"".join(chunk.data for chunk in port.take())
    return heard.removeprefix(question)


def text_of(data: bytes) -> str:
    """Return what was said on one line: text as it is, else hexadecimal; shortened."""
    lines = [line.strip(b"\0 ") for line in data.replace(b"\r", b"\n").split(b"\n")]
    said = b" | ".join(filter(None, lines))
    text = said.decode("ascii") if said.isascii() and said.decode("ascii").isprintable() else data.hex(" ")
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def identity_of(said: bytes) -> str:
    """Return what an SDI-12 sensor says of itself, in words: maker, model, version, and the standard it follows.

    `allccccccccmmmmmmvvv…`: address, version of SDI-12, and the rest in that order (SDI-12 v1.4, section 4.4.2).
    """
    text = text_of(said)
    match = _IDENTIFICATION.fullmatch(text)
    if match is None:
        return text or "answered"
    words = (match["maker"], match["model"], match["version"], match["more"])
    return f"{' '.join(filter(None, map(str.strip, words)))} (SDI-12 {match['major']}.{match['minor']})"


async def _addresses(
    connection: ConnectionSettings, context: DriverContext, timeout_s: float
) -> AsyncGenerator[Sequence[Found], None]:
    """Ask each SDI-12 address whether a sensor has it (`0!`), and which one (`0I!`)."""
    known = {_options(device).address: device.id for device in connection.devices}
    async with quiet_port(_line(connection), context) as port:
        for address in SDI12_ADDRESSES:
            said = await ask(port, f"{address}!".encode(), timeout_s)
            if said.strip() != address.encode():
                yield []
                continue
            identity = identity_of(await ask(port, f"{address}I!".encode(), max(timeout_s, IDENTIFICATION_S)))
            yield [Found(name=address, answer=identity, device_id=known.get(address, known.get(ANY_ADDRESS, "")))]


async def _asked(
    connection: ConnectionSettings, devices: Sequence[DeviceSettings], context: DriverContext, timeout_s: float
) -> AsyncGenerator[Sequence[Found], None]:
    async with quiet_port(_line(connection), context) as port:
        for device in devices:
            options = _options(device)
            own_s = 0.0 if options.response_timeout_ms is None else options.response_timeout_ms / 1000
            said = await ask(port, _question(options), max(timeout_s, own_s))
            yield (
                [Found(name=options.address or options.decoder, answer=text_of(said), device_id=device.id)]
                if said
                else []
            )


def _question(options: SerialDeviceOptions) -> bytes:
    if options.decoder == "ezo":
        return EZO_INFORMATION
    return request_of(options).replace(b"{address}", options.address.encode("latin-1"))


async def _heard(
    connection: ConnectionSettings, context: DriverContext, seconds: float
) -> AsyncGenerator[Sequence[Found], None]:
    """Show the first lines or frames, with the device that understands them."""
    cutter = _Cutter(connection.devices)
    async with quiet_port(_line(connection), context) as port, aclosing(listen(port, seconds)) as steps:
        async for data in steps:
            yield list(cutter.found(data))
            if cutter.count >= LINES_MAX:
                return
        yield list(cutter.rest())


async def listen(port: Port, seconds: float) -> AsyncGenerator[bytes, None]:
    """Give what came in each second. Raises ConnectionLost."""
    until_s = asyncio.get_running_loop().time()
    for step in range(steps_of(seconds)):
        until_s += min(STEP_S, seconds - step * STEP_S)
        heard = b""
        while await port.wait(until_s):
            heard += b"".join(chunk.data for chunk in port.take())
        yield heard


def steps_of(seconds: float) -> int:
    """Return how many times `listen` gives something."""
    return math.ceil(seconds / STEP_S)


class _Cutter:
    """Cuts what is heard into frames of a device that sends bytes, or else into lines; numbers them."""

    def __init__(self, devices: Sequence[DeviceSettings]) -> None:
        self._decoders = {device.id: create_decoder(_options(device)) for device in devices}
        binary = (device.id for device in devices if _options(device).decoder in BINARY_DECODERS)
        self._cutting = next((self._decoders[device_id] for device_id in binary), None)
        self._lines = LineFrames()
        self._heard = b""
        self.count = 0

    def found(self, data: bytes) -> Iterator[Found]:
        """Return what was complete, with the device that understands it."""
        self._heard = (self._heard + data)[:SHOWN_MAX]
        frames = self._lines.feed(data.replace(b"\r", b"\n")) if self._cutting is None else self._cutting.feed(data)
        for frame in frames[: LINES_MAX - self.count]:
            self.count += 1
            yield Found(name=str(self.count), answer=text_of(frame), device_id=self._owner(frame))

    def rest(self) -> Iterator[Found]:
        """Return the bytes after the last frame: most likely they have another speed or format."""
        if self._heard and not self.count:
            yield Found(name="-", answer=f"no line ended (another speed or format?): {text_of(self._heard)}")

    def _owner(self, frame: bytes) -> str:
        return next((name for name, decoder in self._decoders.items() if _understands(decoder, frame)), "")


def _understands(decoder: FrameDecoder, frame: bytes) -> bool:
    try:
        return bool(decoder.fields(frame))
    except FrameMalformed:
        return False


def _line(connection: ConnectionSettings) -> SerialConnectionOptions:
    assert isinstance(connection.options, SerialConnectionOptions)
    return connection.options


def _options(device: DeviceSettings) -> SerialDeviceOptions:
    assert isinstance(device.options, SerialDeviceOptions)
    return device.options
