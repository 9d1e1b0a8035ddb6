"""An MQTT broker for the simulated devices: mosquitto where it is installed, else one in Python (extra `demo`)."""

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from drivers.simulation.child_process import ending_with_us, stop
from edge.domain.driver import ConnectionLost

# Debian keeps it where only root looks.
_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
_CONFIGURATION = """\
listener {port} {listen}
allow_anonymous true
persistence false
# A reader that was away for some minutes misses nothing.
max_queued_messages 100000
log_dest stderr
log_type error
log_type warning
"""
# Started as root, it changes its user, and the kernel then forgets that it has to end with its parent.
_AS_ROOT = "user root\n"


class BrokerFailed(ConnectionLost):
    """No broker could be started; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker that listens."""

    host: str
    port: int
    # What it is, for people.
    name: str
    # It does not know MQTT 5.
    is_old: bool = False

    @property
    def url(self) -> str:
        """Its address as site files write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"


def mosquitto() -> str | None:
    """Return the program's path; None if it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_PATH)


def is_available() -> bool:
    """Whether `open_broker` has something to start."""
    return mosquitto() is not None or find_spec("amqtt") is not None


@asynccontextmanager
async def open_broker(*, listen: str, port: int = 0) -> AsyncIterator[Broker | None]:
    """Start a broker, on this port if it is free; gives None if none is installed. Raises BrokerFailed."""
    program = mosquitto()
    if program is not None:
        async with _mosquitto(program, listen, _free_port(listen, port)) as broker:
            yield broker
    elif find_spec("amqtt") is not None:
        async with _in_python(listen, _free_port(listen, port)) as broker:
            yield broker
    else:
        yield None


def _free_port(listen: str, wanted: int) -> int:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    for port in (wanted, 0):
        with socket.socket(family) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((listen, port))
            found: int = probe.getsockname()[1]
            return found
    raise BrokerFailed(f"the broker cannot listen on {listen}")


@asynccontextmanager
async def _mosquitto(program: str, listen: str, port: int) -> AsyncIterator[Broker]:
    configuration = _CONFIGURATION.format(port=port, listen=listen) + (_AS_ROOT if os.geteuid() == 0 else "")
    process = await asyncio.create_subprocess_exec(
        program,
        "-c",
        # No file that would be left behind.
        "/dev/stdin",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        # Control-C at a terminal is for us: we then end the broker in order.
        start_new_session=True,
        preexec_fn=ending_with_us(),
    )
    assert process.stdin is not None
    process.stdin.write(configuration.encode())
    process.stdin.close()
    try:
        await _answers(process, listen, port)
        yield Broker(host=listen, port=port, name="mosquitto")
    finally:
        await stop(process, timeout_s=STOP_TIMEOUT_S)


async def _answers(process: asyncio.subprocess.Process, listen: str, port: int) -> None:
    """Wait until it listens."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            # Another process has no event to wait for.
            while process.returncode is None and not await _listens(listen, port):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BrokerFailed(f"mosquitto does not listen on {listen}:{port}") from None
    if process.returncode is not None:
        raise BrokerFailed(f"mosquitto ended with exit code {process.returncode}")


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _in_python(listen: str, port: int) -> AsyncIterator[Broker]:
    """Run the broker within this process; it speaks MQTT 3.1.1 only."""
    # It tells each client's coming and going.
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.ERROR)
    broker = import_module("amqtt.broker").Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{listen}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    try:
        yield Broker(host=listen, port=port, name="amqtt", is_old=True)
    finally:
        await broker.shutdown()
