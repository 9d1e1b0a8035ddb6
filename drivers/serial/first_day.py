"""What serial ports offer on a first day: how a port is named, drafted and looked at. Loads no transport."""

from drivers.first_day import named_line, usable
from drivers.serial.options import SerialConnectionOptions
from edge.domain.commissioning import (
    DraftConnection,
    FirstDay,
    Survey,
    Way,
    Wishes,
)


def serial_port(text: str) -> SerialConnectionOptions:
    """Read PORT, PORT@9600 or PORT@9600/8N1. Raises AnswerWrong."""
    line = named_line(text)
    return usable(SerialConnectionOptions(serial_port=line.port, baud_rate=line.baud_rate, format=line.format))


def draft(options: object) -> DraftConnection:
    """Draft a serial port without its device."""
    assert isinstance(options, SerialConnectionOptions)
    return DraftConnection(
        name="serial",
        keys={"serial_port": options.serial_port, "baud_rate": options.baud_rate, "format": options.format},
        example={"id": "tank-ph", "profile": "ezo-ph"},
    )


def survey(options: object, wishes: Wishes) -> Survey:
    """Plan to listen at a port, and to ask for the instruments that only answer."""
    from drivers.serial.scan import steps_of  # noqa: PLC0415 - pyserial only where a person looks
    from drivers.serial.survey import look_at_port  # noqa: PLC0415

    assert isinstance(options, SerialConnectionOptions)
    return Survey(
        what=f"listening at {options.serial_port}",
        steps=steps_of(wishes.seconds),
        run=lambda look: look_at_port(draft(options), options, wishes.seconds, look),
    )


FIRST_DAY = FirstDay(
    ways=(
        Way(
            name="serial",
            metavar="PORT[@9600/8N1]",
            help="A serial port with an instrument.",
            read=serial_port,
        ),
    ),
    draft=draft,
    survey=survey,
)
