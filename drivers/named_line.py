"""A serial line as a person names it on a first day. Modbus and the instruments share it."""

import re
from dataclasses import dataclass
from pathlib import Path

from edge.domain.commissioning import AnswerWrong

BY_ID = Path("/dev/serial/by-id")

_LINE = re.compile(r"(?P<port>[^@]+)(?:@(?P<baud>[0-9]{1,7})(?:/(?P<format>[0-9A-Za-z.]+))?)?")


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
