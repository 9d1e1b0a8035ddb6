"""A Modbus server by libmodbus, which somebody else wrote: compiled, started, asked what it was asked."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fakes.peers import peer, peer_library

# Generous: two cores that others use, too.
WAIT_S = 20.0

UNIT: Final = 7
# Coils and discrete inputs, from 0.
BITS: Final = 24
# Input and holding registers alike: from here, so many, and nothing beside them.
FIRST: Final = 1000
REGISTERS: Final = 300
# Each value stands there in all four orders, four registers apart, the next one 16 registers on.
ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
NUMBERS: Final[Mapping[str, float]] = {
    "int16": -12345.0,
    "uint16": 54321.0,
    "int32": -123456789.0,
    "uint32": 3456789012.0,
    # As floats can tell them.
    "int64": -1234567890123456789.0,
    "uint64": 12345678901234567890.0,
    "float64": 3.141592653589793,
    "bcd16": 9876.0,
    "bcd32": 98765432.0,
    "float32": -21.75,
}
TEXT_ADDRESS: Final = FIRST + 160
TEXT: Final = "Yosemitech"
STATUS_ADDRESS: Final = FIRST + 166
NOTHING_ADDRESS: Final = FIRST + 167


def number_address(number_type: str, order: str) -> int:
    """Where a number stands."""
    return FIRST + 16 * list(NUMBERS).index(number_type) + 4 * ORDERS.index(order)


def compile_server(folder: Path) -> Path:
    """Compile the server; needs a C compiler and libmodbus."""
    program = folder / "libmodbus_server"
    source = Path(__file__).with_suffix(".c")
    done = subprocess.run(
        [peer("cc"), "-std=gnu11", "-Wall", "-Wextra", "-o", str(program), str(source), *peer_library("libmodbus")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return program


class LibmodbusServer:
    """One running server."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def _lines(self) -> list[str]:
        return self._log.read_text().split()

    @property
    def tcp_port(self) -> int:
        """Where it listens; waits until it does."""
        end_s = time.monotonic() + WAIT_S
        while len(lines := self._lines()) < 2:
            assert self._process.poll() is None, f"the server ended with {self._process.returncode}"
            assert time.monotonic() < end_s, "the server did not get ready"
            time.sleep(0.01)
        return int(lines[1])

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait(WAIT_S)

    @property
    def requests(self) -> list[str]:
        """What it was asked, in hexadecimal digits: unit, function, data."""
        return self._lines()[2:]


@contextmanager
def libmodbus_server(program: Path, serial_port: Path | None = None, *, tcp_port: int = 0) -> Iterator[LibmodbusServer]:
    """Run the server on a serial port or on a TCP port; 0 = a free one."""
    log = program.with_name(f"libmodbus_server-{time.monotonic_ns()}.log")
    arguments = ["tcp", str(tcp_port)] if serial_port is None else ["rtu", str(serial_port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    server = LibmodbusServer(process, log)
    try:
        assert server.tcp_port >= 0
        yield server
    finally:
        server.kill()
