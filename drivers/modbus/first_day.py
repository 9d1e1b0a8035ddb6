"""What Modbus offers on a first day: how a connection is named, drafted and looked at. Loads no transport."""

import re
from collections.abc import AsyncGenerator, Mapping
from functools import partial

from drivers.first_day import named_line, usable
from drivers.modbus.options import ModbusConnectionOptions
from edge.domain.commissioning import (
    AnswerWrong,
    DraftConnection,
    FirstDay,
    RegisterRange,
    Stretch,
    Survey,
    TomlValue,
    Way,
    Wishes,
)
from edge.domain.settings import ConnectionSettings

_HOST = re.compile(r"(?P<host>\[[^\]]+\]|[^:\s]+)(?::(?P<port>[0-9]{1,5}))?")


def modbus_host(text: str, *, is_rtu: bool = False) -> ModbusConnectionOptions:
    """Read HOST or HOST:PORT. Raises AnswerWrong."""
    match = _HOST.fullmatch(text.strip())
    if match is None:
        raise AnswerWrong(f"{text!r} is no host; write 192.168.1.20 or 192.168.1.20:502")
    return usable(
        ModbusConnectionOptions(
            transport="rtu_over_tcp" if is_rtu else "tcp",
            host=match["host"].strip("[]"),
            tcp_port=int(match["port"] or 502),
        )
    )


def modbus_port(text: str) -> ModbusConnectionOptions:
    """Read PORT, PORT@9600 or PORT@9600/8N1. Raises AnswerWrong."""
    line = named_line(text)
    return usable(
        ModbusConnectionOptions(transport="serial", serial_port=line.port, baud_rate=line.baud_rate, format=line.format)
    )


def draft(options: object) -> DraftConnection:
    """Draft a Modbus connection without devices."""
    assert isinstance(options, ModbusConnectionOptions)
    return DraftConnection(
        name="rs485" if options.transport == "serial" else "modbus",
        keys=_keys(options),
        example={"id": "bench1-climate", "profile": "xy-md02", "address": 1},
    )


def _keys(options: ModbusConnectionOptions) -> Mapping[str, TomlValue]:
    if options.transport == "serial":
        return {
            "transport": "serial",
            "serial_port": options.serial_port,
            "baud_rate": options.baud_rate,
            "format": options.format,
        }
    keys: dict[str, TomlValue] = {} if options.transport == "tcp" else {"transport": options.transport}
    return {**keys, "host": options.host, "tcp_port": options.tcp_port}


def survey(options: object, wishes: Wishes) -> Survey:
    """Plan to ask all units, and of those that answer what each model would be asked."""
    from drivers.modbus.survey import look_for_units  # noqa: PLC0415 - pymodbus only where a person looks

    assert isinstance(options, ModbusConnectionOptions)
    return Survey(
        what=f"units at {options.where}",
        steps=len(wishes.units),
        run=lambda look: look_for_units(draft(options), options, wishes, look),
    )


FIRST_DAY = FirstDay(
    ways=(
        Way(name="modbus-tcp", metavar="HOST[:PORT]", help="A Modbus/TCP device or gateway.", read=modbus_host),
        Way(
            name="rtu-over-tcp",
            metavar="HOST:PORT",
            help="A converter that passes RTU frames.",
            read=partial(modbus_host, is_rtu=True),
        ),
        Way(
            name="modbus-serial",
            metavar="PORT[@9600/8N1]",
            help="An RS-485 line with Modbus RTU.",
            read=modbus_port,
        ),
    ),
    draft=draft,
    survey=survey,
)


def probe(connection: ConnectionSettings, wanted: RegisterRange) -> AsyncGenerator[Stretch, None]:
    """Read registers of one unit."""
    from drivers.modbus.scan import read_range  # noqa: PLC0415 - pymodbus only where a person looks

    return read_range(connection, wanted)
