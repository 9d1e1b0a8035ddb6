"""What serial ports offer on a first day: hooks for `scan`, `decode`, `init` and `simulate`. Loads no transport."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from drivers.named_line import named_line
from drivers.serial.options import SerialConnectionOptions
from edge.domain.by_hand import Given
from edge.domain.commissioning import (
    AnswerWrong,
    DraftConnection,
    Endpoint,
    FirstDay,
    Search,
    Simulation,
    Survey,
    Way,
    Wishes,
)
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings, DeviceSettings


def serial_port(text: str) -> SerialConnectionOptions:
    """Read PORT, PORT@9600 or PORT@9600/8N1. Raises AnswerWrong."""
    line = named_line(text)
    options = SerialConnectionOptions(serial_port=line.port, baud_rate=line.baud_rate, format=line.format)
    if mistakes := options.mistakes():
        raise AnswerWrong("; ".join(mistakes))
    return options


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


def scan(connection: ConnectionSettings, wishes: Wishes) -> Search:
    """Plan to ask addresses and instruments, or to listen."""
    from drivers.serial.scan import search_serial  # noqa: PLC0415 - pyserial only where a person looks

    return search_serial(connection, wishes)


def decode(device: DeviceSettings, given: Given) -> Sequence[Sample]:
    """Decode a line or a frame."""
    from drivers.serial.offline import decode_words  # noqa: PLC0415 - only `decode` asks

    return decode_words(device, given)


def simulate(
    connections: Sequence[ConnectionSettings], simulation: Simulation
) -> AbstractAsyncContextManager[Mapping[str, Endpoint]]:
    """Show instruments at pseudo-terminals."""
    from drivers.serial.simulate import serve  # noqa: PLC0415 - the simulation only where it is shown

    return serve(connections, simulation)
