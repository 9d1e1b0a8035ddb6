"""A serial port on the event loop: a small adapter over pyserial. Only this file would change for another library.

What is done about ports in the field (facts/libraries.md 2):
- a hang-up or a pulled plug is an error or an empty read: `wait` ends at once, and `take` raises after the last bytes;
- opening may take a moment in a driver or kernel: it happens in a thread;
- bytes that are not fetched are bounded: the oldest go, and the next ones are marked as torn;
- Linux raises DTR and RTS whenever it opens a port. Both are lowered, where wanted, by one call: lowered one after the
  other, they put many ESP boards into reset. Closing leaves them as they are, so that the next opening changes nothing;
- a character with wrong parity is read as NUL, which no value contains: pyserial would let it pass.
"""

import asyncio
import errno
import fcntl
import os
import struct
import termios
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import serial

from drivers.opening import PatientOpening
from drivers.serial.options import SerialConnectionOptions
from edge.domain.driver import ConnectionLost, DriverMisconfigured
from edge.domain.serial_line import LineFormat, line_format

# The bytes of a minute at 9600 baud; older ones are of no use.
INBOUND_MAX = 64 * 1024
# Slow bytes that come one by one need room each.
CHUNKS_MAX = 1024
READ_MAX = 4096

# A USB adapter needs milliseconds; a Bluetooth port that does not answer seconds.
OPEN_TIMEOUT_S = 10.0
# A question has a few dozen characters: 300 baud take a second.
SEND_TIMEOUT_S = 5.0

# Pseudo-terminals (Documentation/admin-guide/devices.txt of Linux); they refuse parity.
_PSEUDO_TERMINALS = range(136, 144)
_EIGHT_N_ONE = line_format("8N1")
_IFLAG, _CFLAG = 0, 2

PortOpening: TypeAlias = PatientOpening[serial.Serial]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that came together."""

    data: bytes
    # Of the event loop's clock.
    arrived_s: float
    # Bytes before these are missing.
    is_torn: bool = False


class Port(Protocol):
    """An open port."""

    def take(self) -> Sequence[Chunk]:
        """Fetch what has arrived, in order. Raises ConnectionLost once all of it is fetched and the port is gone."""

    async def wait(self, until_s: float) -> bool:
        """Wait until `take` has something to give or to raise; False if it is late instead."""

    async def send(self, data: bytes) -> None:
        """Send bytes; returns when the kernel has them all. Raises ConnectionLost."""


class SerialPort:
    """A Port over an open device. Made by `open_port`."""

    def __init__(self, name: str, fd: int) -> None:
        self._name = name
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._is_torn = False
        self._lost = ""
        self._arrived = asyncio.Event()

    def start(self) -> None:
        """Begin to listen."""
        self._loop.add_reader(self._fd, self._read)

    def stop(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._fd)

    def take(self) -> Sequence[Chunk]:
        """Fetch what has arrived, in order. Raises ConnectionLost once all of it is fetched and the port is gone."""
        if not self._chunks and self._lost:
            raise ConnectionLost(self._lost)
        chunks = tuple(self._chunks)
        self._chunks.clear()
        self._size = 0
        self._arrived.clear()
        if self._lost:
            self._arrived.set()
        return chunks

    async def wait(self, until_s: float) -> bool:
        """Wait until `take` has something to give or to raise; False if it is late instead."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._arrived.wait()
        return self._arrived.is_set()

    async def send(self, data: bytes) -> None:
        """Send bytes; returns when the kernel has them all. Raises ConnectionLost."""
        left = memoryview(data)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                while left:
                    left = left[await self._written(left) :]
        except TimeoutError:
            raise ConnectionLost(f"{self._name} takes no bytes; its line is held") from None

    async def _written(self, data: memoryview) -> int:
        if self._lost:
            raise ConnectionLost(self._lost)
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            await self._writable()
            return 0
        except OSError as error:
            self._lose(error.strerror or str(error))
            raise ConnectionLost(self._lost) from error

    async def _writable(self) -> None:
        free = asyncio.Event()
        self._loop.add_writer(self._fd, free.set)
        try:
            await free.wait()
        finally:
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if not data:
            self._lose("unplugged or hung up")
            return
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._chunks.append(Chunk(data, self._loop.time(), self._is_torn))
        self._is_torn = False
        self._size += len(data)
        while self._size > INBOUND_MAX or len(self._chunks) > CHUNKS_MAX:
            self._size -= len(self._chunks.popleft().data)
            oldest = self._chunks[0]
            self._chunks[0] = Chunk(oldest.data, oldest.arrived_s, is_torn=True)
        self._arrived.set()

    def _lose(self, why: str) -> None:
        self.stop()
        self._lost = f"{self._name} is gone: {why}"
        self._arrived.set()


@asynccontextmanager
async def open_port(
    options: SerialConnectionOptions, folder: Path, opening: PortOpening | None = None
) -> AsyncIterator[SerialPort]:
    """Open a port as its options say, and close it at the end. A link is followed anew each time.

    `opening` is how the port was opened before. Raises ConnectionLost if it is not there or in use, DriverMisconfigured
    if it cannot be what the options want.
    """
    device = await _opened(folder / options.serial_port, options, opening or PortOpening())
    assert device.fd is not None
    port = SerialPort(options.serial_port, device.fd)
    port.start()
    try:
        yield port
    finally:
        port.stop()
        _close(device)


async def _opened(path: Path, options: SerialConnectionOptions, opening: PortOpening) -> serial.Serial:
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            return await opening.opened(partial(_open, path, options), _close)
    except TimeoutError:
        raise ConnectionLost(f"{options.serial_port} could not be opened within {OPEN_TIMEOUT_S:g} s") from None
    except (OSError, termios.error) as error:
        raise ConnectionLost(_why_not(options.serial_port, error)) from error
    except ValueError as error:
        raise DriverMisconfigured(f"{options.serial_port} cannot be set up: {error}") from error


def _open(path: Path, options: SerialConnectionOptions) -> serial.Serial:
    """Open and set up the device; runs in a thread."""
    form = _format(path, options)
    device = serial.Serial(timeout=0, exclusive=True)
    device.port = str(path)
    device.baudrate = options.baud_rate
    device.bytesize = form.data_bits
    device.parity = form.parity
    device.stopbits = form.stop_bits
    device.open()
    try:
        assert device.fd is not None
        _lower(device.fd, (0 if options.dtr else termios.TIOCM_DTR) | (0 if options.rts else termios.TIOCM_RTS))
        _keep_lines(device.fd, checks_parity=form.parity != "N")
    except BaseException:
        device.close()
        raise
    return device


def _format(path: Path, options: SerialConnectionOptions) -> LineFormat:
    is_pseudo = os.major(path.stat().st_rdev) in _PSEUDO_TERMINALS
    return _EIGHT_N_ONE if is_pseudo else line_format(options.format)


def _lower(fd: int, lines: int) -> None:
    if lines:
        try:
            fcntl.ioctl(fd, termios.TIOCMBIC, struct.pack("I", lines))
        except OSError as error:
            # A pseudo-terminal has no such lines.
            if error.errno not in {errno.EINVAL, errno.ENOTTY}:
                raise


def _keep_lines(fd: int, *, checks_parity: bool) -> None:
    """Leave DTR and RTS as they are when the port is closed, and have wrong parity noticed."""
    attributes = termios.tcgetattr(fd)
    attributes[_CFLAG] &= ~termios.HUPCL
    if checks_parity:
        attributes[_IFLAG] |= termios.INPCK
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _close(device: serial.Serial) -> None:
    """Close without waiting for a peer that takes no bytes; a port that is gone may complain."""
    with suppress(OSError, termios.error):
        device.reset_output_buffer()
    with suppress(OSError):
        device.close()


def _why_not(name: str, error: OSError | termios.error) -> str:
    """Say in a sentence why a port cannot be opened."""
    number = error.errno if isinstance(error, OSError) else None
    reasons = {
        errno.ENOENT: "is not there; is the adapter plugged in, and is the name right?",
        errno.ENXIO: "is not there; is the adapter plugged in?",
        errno.ENODEV: "is not there; is the adapter plugged in?",
        errno.EAGAIN: "is in use by another process",
        errno.EBUSY: "is in use by another process",
        errno.EACCES: "may not be opened by this user; is it in the group that owns the port (dialout)?",
        errno.EPERM: "may not be opened by this user; is it in the group that owns the port (dialout)?",
    }
    known = reasons.get(number) if number is not None else None
    return f"{name} {known}" if known else f"{name} cannot be opened: {error}"
