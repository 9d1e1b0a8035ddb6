"""What a person says of a site on its first day: checked one by one, so that the file written from it has no mistakes."""

import os
import re
import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from drivers.modbus.options import ModbusConnectionOptions
from drivers.mqtt.options import MqttConnectionOptions
from drivers.serial.options import SerialConnectionOptions
from edge.domain.device_group import identifier_part
from edge.domain.event_store_uri import uri_mistakes
from edge.domain.identifier import IDENTIFIER_LENGTH_MAX, is_identifier
from edge.domain.settings import SiteSettings
from edge.domain.userinfo import holds_userinfo

EVENT_STORE_URI = "esdb://127.0.0.1:2113?tls=false"
BY_ID = Path("/dev/serial/by-id")
LOCAL_TIME = Path("/etc/localtime")

_HOST = re.compile(r"(?P<host>\[[^\]]+\]|[^:\s]+)(?::(?P<port>[0-9]{1,5}))?")
_PORT = re.compile(r"(?P<port>[^@]+)(?:@(?P<baud>[0-9]{1,7})(?:/(?P<format>[0-9A-Za-z.]+))?)?")


Answer = TypeVar("Answer")


class AnswerWrong(ValueError):  # noqa: N818 - names the situation; the message says what would be right
    """This cannot be."""


def site_id(text: str) -> str:
    """Check a site's id. Raises AnswerWrong."""
    if not is_identifier(text):
        raise AnswerWrong(f"{text!r} is no id: small letters, digits, - and _, at most {IDENTIFIER_LENGTH_MAX}")
    return text


def suggested_id(name: str) -> str:
    """Return an id made from a name; empty if nothing of it can stand in one."""
    return identifier_part(name)[:IDENTIFIER_LENGTH_MAX].strip("-_")


def time_zone(text: str) -> str:
    """Check a time zone. Raises AnswerWrong."""
    return _checked(text, SiteSettings(id="site", time_zone=text).mistakes())


def local_time_zone() -> str:
    """Return this machine's time zone, as far as it can be told."""
    try:
        _, _, name = os.path.realpath(LOCAL_TIME).partition("zoneinfo/")
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"
    return name.removeprefix("Etc/")


def event_store_uri(text: str) -> str:
    """Check an event store's address. Raises AnswerWrong."""
    if holds_userinfo(text):
        raise AnswerWrong("the address must not hold user and password; name a credential in the file instead")
    return _checked(text, list(uri_mistakes(text)))


def modbus_host(text: str, *, is_rtu: bool = False) -> ModbusConnectionOptions:
    """Read HOST or HOST:PORT. Raises AnswerWrong."""
    match = _HOST.fullmatch(text.strip())
    if match is None:
        raise AnswerWrong(f"{text!r} is no host; write 192.168.1.20 or 192.168.1.20:502")
    options = ModbusConnectionOptions(
        transport="rtu_over_tcp" if is_rtu else "tcp",
        host=match["host"].strip("[]"),
        tcp_port=int(match["port"] or 502),
    )
    return _checked(options, options.mistakes())


def modbus_port(text: str) -> ModbusConnectionOptions:
    """Read PORT, PORT@9600 or PORT@9600/8N1. Raises AnswerWrong."""
    port, baud_rate, form = _line(text)
    options = ModbusConnectionOptions(transport="serial", serial_port=port, baud_rate=baud_rate, format=form)
    return _checked(options, options.mistakes())


def serial_port(text: str) -> SerialConnectionOptions:
    """Read PORT, PORT@9600 or PORT@9600/8N1. Raises AnswerWrong."""
    port, baud_rate, form = _line(text)
    options = SerialConnectionOptions(serial_port=port, baud_rate=baud_rate, format=form)
    return _checked(options, options.mistakes())


def broker(text: str, credential: str | None = None) -> MqttConnectionOptions:
    """Read a broker's address; mqtt:// may be left out. Raises AnswerWrong."""
    url = text.strip() if "://" in text else f"mqtt://{text.strip()}"
    options = MqttConnectionOptions(url=url, credential=credential)
    return _checked(options, options.mistakes())


def _line(text: str) -> tuple[str, int, str]:
    match = _PORT.fullmatch(text.strip())
    if match is None:
        raise AnswerWrong(f"{text!r} is no serial port; write /dev/ttyUSB0, or /dev/ttyUSB0@19200/8E1")
    return _stable(match["port"]), int(match["baud"] or 9600), (match["format"] or "8N1").upper()


def _stable(port: str) -> str:
    """Return the name of a port that stays after the next start: its link in /dev/serial/by-id, where it has one."""
    if not BY_ID.is_dir() or port.startswith(str(BY_ID)):
        return port
    links = sorted(link for link in BY_ID.iterdir() if link.resolve() == Path(port).resolve())
    return str(links[0]) if links else port


def _checked(answer: Answer, mistakes: Sequence[str]) -> Answer:
    if mistakes:
        raise AnswerWrong("; ".join(mistakes))
    return answer
