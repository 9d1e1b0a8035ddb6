"""The transport under a wire: pymodbus's, for TCP and serial lines. It passes bytes, and reports a lost connection.

pymodbus opens a serial port on the event loop; here it is opened in a thread. pymodbus's client above it is not used:
its requests wait their whole time-out when the peer closes, match answers by unit and CRC alone (RTU), and give up a
good link after four silent requests (facts/libraries.md 1.2, 1.3).
"""

import asyncio
import errno
import os
import termios
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from pymodbus.transport import CommParams, CommType, ModbusProtocol
from pymodbus.transport.serialtransport import SerialTransport

from drivers.modbus.options import ModbusConnectionOptions
from drivers.opening import PatientOpening
from edge.domain.driver import ConnectionLost
from edge.domain.serial_line import line_format

# Linux's device numbers of pseudo-terminals (Documentation/admin-guide/devices.txt).
PSEUDO_TERMINALS = range(136, 144)
# The kernel refuses parity and seven bits on a pseudo-terminal.
PSEUDO_TERMINAL_FORMAT = line_format("8N1")

_REASONS = {
    errno.EAGAIN: "another program has it open",
    errno.EBUSY: "another program has it open",
    errno.EACCES: "this user may not open it (it usually takes the group dialout)",
    errno.ENOENT: "there is no such port; is it plugged in?",
}


LineOpening: TypeAlias = PatientOpening[SerialTransport]


class Link(ModbusProtocol):
    """One open transport. Never opens again by itself: the collector owns back-off."""

    def __init__(
        self,
        options: ModbusConnectionOptions,
        opening: LineOpening,
        *,
        on_bytes: Callable[[bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(_parameters(options), is_server=False)
        self._options = options
        self._opening = opening
        self._on_bytes = on_bytes
        self._on_lost = on_lost
        self._made = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether bytes can be sent."""
        return self.is_active()

    async def open(self) -> None:
        """Open the transport. Raises ConnectionLost, with the reason in a technician's words."""
        options = self._options
        try:
            async with asyncio.timeout(options.connect_timeout_ms / 1000):
                if options.transport == "serial":
                    await self._open_port()
                else:
                    self.transport, _ = await self.call_create()
                # A serial transport is not complete before: closing it sooner breaks inside pymodbus.
                await self._made.wait()
        except TimeoutError as error:
            fault = "could not be opened" if options.transport == "serial" else "did not answer"
            raise ConnectionLost(f"{options.where} {fault} within {options.connect_timeout_ms} ms") from error
        except (OSError, ValueError, termios.error) as error:
            raise ConnectionLost(f"{options.where} cannot be opened: {_reason(error)}") from error

    async def _open_port(self) -> None:
        transport = await self._opening.opened(partial(_open_line, self._options, self.loop), _close_line)
        transport.set_protocol(self)
        self.transport = transport
        transport.setup()

    def close(self, reconnect: bool = False) -> None:
        """Close the transport; what was not sent yet is dropped."""
        if isinstance(self.transport, SerialTransport):
            _drop_output(self.transport)
        super().close(reconnect)

    def data_received(self, data: bytes) -> None:
        """Pass on what arrived; pymodbus would drop what is longer than a frame."""
        self._on_bytes(data)

    def callback_connected(self) -> None:
        """Learn that the transport is complete."""
        self._made.set()

    def callback_disconnected(self, exc: Exception | None) -> None:  # noqa: ARG002 - pymodbus's signature
        """Learn that the other end is gone."""
        self._on_lost()

    def callback_new_connection(self) -> ModbusProtocol:
        """Never called: pymodbus asks its servers alone; the base class wants the method of all."""
        raise AssertionError("a client has no connections to accept")

    def callback_data(self, data: bytes, addr: tuple[str, int] | None = None) -> int:  # noqa: ARG002
        """Take nothing: `data_received` passed it on."""
        return len(data)


def is_pseudo_terminal(port: Path) -> bool:
    """Whether a port is a pseudo-terminal: a simulation, or socat in front of a remote port."""
    try:
        return os.major(port.stat().st_rdev) in PSEUDO_TERMINALS
    except OSError:
        return False


def _parameters(options: ModbusConnectionOptions) -> CommParams:
    if options.transport != "serial":
        return CommParams(comm_type=CommType.TCP, host=options.host, port=options.tcp_port, reconnect_delay=0)
    return CommParams(comm_type=CommType.SERIAL, host=options.serial_port, reconnect_delay=0)


def _open_line(options: ModbusConnectionOptions, loop: asyncio.AbstractEventLoop) -> SerialTransport:
    """Open a port as the options say; runs in a thread. What it belongs to is not known before it is open."""
    is_pseudo = is_pseudo_terminal(Path(options.serial_port))
    form = PSEUDO_TERMINAL_FORMAT if is_pseudo else line_format(options.format)
    return SerialTransport(
        loop,
        asyncio.Protocol(),
        options.serial_port,
        options.baud_rate,
        form.data_bits,
        form.parity,
        form.stop_bits,
        timeout=0,
    )


def _close_line(transport: SerialTransport) -> None:
    _drop_output(transport)
    transport.close()


def _drop_output(transport: SerialTransport) -> None:
    """Drop what the kernel has not sent: closing would wait for an adapter that takes no bytes, half a minute long."""
    if transport.sync_serial is not None:
        # A port that is gone may complain.
        with suppress(OSError, termios.error):
            transport.sync_serial.reset_output_buffer()


def _reason(error: Exception) -> str:
    # pyserial and asyncio put their own words around the system's.
    number = error.errno if isinstance(error, OSError) else error.args[0] if isinstance(error, termios.error) else None
    if isinstance(number, int) and number > 0:
        return _REASONS.get(number) or os.strerror(number)
    return getattr(error, "strerror", None) or str(error)
