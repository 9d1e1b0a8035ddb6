"""Shared by our drivers for a first site file: hooks that load their code when called, and the name of a line."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeVar, cast

from edge.domain.by_hand import Given
from edge.domain.commissioning import AnswerWrong, Endpoint, Search, Simulation, Wishes
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings, DeviceSettings

BY_ID = Path("/dev/serial/by-id")

_LINE = re.compile(r"(?P<port>[^@]+)(?:@(?P<baud>[0-9]{1,7})(?:/(?P<format>[0-9A-Za-z.]+))?)?")


class Searching(Protocol):
    """What a driver's `scan.py` has."""

    def scan(self, connection: ConnectionSettings, wishes: Wishes, /) -> Search:
        """Plan a search for the devices of a connection."""


class Decoding(Protocol):
    """What a driver's `by_hand.py` has."""

    def decode(self, device: DeviceSettings, given: Given, /) -> Sequence[Sample]:
        """Read what a person has in hand."""


class Simulating(Protocol):
    """What a driver's `simulate.py` has."""

    def simulate(
        self, connections: Sequence[ConnectionSettings], simulation: Simulation, /
    ) -> AbstractAsyncContextManager[Mapping[str, Endpoint]]:
        """Serve the devices of connections."""


class HooksIn:
    """The hooks in a driver's folder. A file is loaded when its hook is called: all verbs import the kinds."""

    def __init__(self, package: str) -> None:
        self._package = package

    def scan(self, connection: ConnectionSettings, wishes: Wishes) -> Search:
        """The hook `scan`."""
        return cast("Searching", import_module(f"{self._package}.scan")).scan(connection, wishes)

    def decode(self, device: DeviceSettings, given: Given) -> Sequence[Sample]:
        """The hook `decode`."""
        return cast("Decoding", import_module(f"{self._package}.by_hand")).decode(device, given)

    def simulate(
        self, connections: Sequence[ConnectionSettings], simulation: Simulation
    ) -> AbstractAsyncContextManager[Mapping[str, Endpoint]]:
        """The hook `simulate`."""
        return cast("Simulating", import_module(f"{self._package}.simulate")).simulate(connections, simulation)


class Options(Protocol):
    """Options of a connection that know what types cannot say."""

    def mistakes(self) -> Sequence[str]:
        """Sentences about what is wrong."""


Answered = TypeVar("Answered", bound=Options)


def usable(options: Answered) -> Answered:
    """Return the options that an answer gave. Raises AnswerWrong with their mistakes."""
    if mistakes := options.mistakes():
        raise AnswerWrong("; ".join(mistakes))
    return options


@dataclass(frozen=True, kw_only=True)
class NamedLine:
    """A serial port with its speed and format."""

    port: str
    baud_rate: int
    format: str


def named_line(text: str) -> NamedLine:
    """Read PORT, PORT@9600 or PORT@9600/8N1. Raises AnswerWrong."""
    match = _LINE.fullmatch(text.strip())
    if match is None:
        raise AnswerWrong(f"{text!r} is no serial port; write /dev/ttyUSB0, or /dev/ttyUSB0@19200/8E1")
    return NamedLine(
        port=_stable(match["port"]), baud_rate=int(match["baud"] or 9600), format=(match["format"] or "8N1").upper()
    )


def _stable(port: str) -> str:
    """Return the name of a port that stays after the next start: its link in /dev/serial/by-id, where it has one."""
    if not BY_ID.is_dir() or port.startswith(str(BY_ID)):
        return port
    links = sorted(link for link in BY_ID.iterdir() if link.resolve() == Path(port).resolve())
    return str(links[0]) if links else port
