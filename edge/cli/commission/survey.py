"""Looks at a connection that no site file describes yet: who answers, who speaks. What `init --scan` does."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from drivers.decoders.sdi12 import ADDRESS, ANY_ADDRESS
from drivers.modbus.options import ModbusConnectionOptions
from drivers.modbus.wire import open_wire
from drivers.mqtt.device import Message
from drivers.mqtt.options import MqttConnectionOptions
from drivers.serial.options import SerialConnectionOptions
from drivers.serial.port import Port
from edge.cli.commission.drafting import PortFound, UnitFound
from edge.cli.commission.fit import Fit
from edge.cli.commission.fit_lines import fits_of_words
from edge.cli.commission.fit_unit import fits_of_unit
from edge.cli.commission.heard import EZO_INFORMATION, ask, identity_of, listen, quiet_port, text_of
from edge.cli.commission.overheard import overhear
from edge.cli.commission.units import ask_units
from edge.domain.driver import ConnectionLost, DriverContext
from edge.domain.settings import DeviceSettings

# An EZO circuit says within 0.3 s who it is, an SDI-12 sensor in half a second.
ANSWER_TIMEOUT_S = 1.5

# Called after each step.
Tick = Callable[[], None]


async def look_for_units(
    options: ModbusConnectionOptions,
    units: Sequence[int],
    *,
    timeout_ms: int,
    models: Sequence[DeviceSettings],
    tick: Tick,
) -> list[UnitFound]:
    """Ask each unit, and those that answer what each model would be asked. Raises ConnectionLost."""
    answers = {}
    async with aclosing(ask_units(options, units, timeout_ms=timeout_ms)) as asked:
        async for unit, answer in asked:
            tick()
            if answer:
                answers[unit] = answer
    brisk = replace(options, response_timeout_ms=timeout_ms)
    return [
        UnitFound(unit=unit, answer=answer, fits=await _fits(brisk, unit, models)) for unit, answer in answers.items()
    ]


async def _fits(options: ModbusConnectionOptions, unit: int, models: Sequence[DeviceSettings]) -> Sequence[Fit]:
    """Return the profiles that fit a unit; none if it hangs up on such questions."""
    try:
        async with open_wire(options) as wire:
            return await fits_of_unit(wire, unit, models)
    except ConnectionLost:
        return ()


async def look_at_topics(
    options: MqttConnectionOptions, context: DriverContext, *, seconds: float, tick: Tick
) -> list[Message]:
    """Listen at a broker. Raises ConnectionLost, DriverMisconfigured."""
    messages: list[Message] = []
    async with aclosing(overhear(options, context, seconds)) as steps:
        async for heard in steps:
            messages += heard
            tick()
    return messages


async def look_at_port(
    options: SerialConnectionOptions,
    context: DriverContext,
    *,
    seconds: float,
    models: Sequence[DeviceSettings],
    tick: Tick,
) -> PortFound:
    """Listen at a port; where nobody is understood, ask for an EZO circuit and an SDI-12 sensor.

    Raises ConnectionLost, DriverMisconfigured.
    """
    heard = b""
    async with quiet_port(options, context) as port:
        async for part in listen(port, seconds):
            heard += part
            tick()
        fits = fits_of_words(heard, models)
        if fits:
            return PortFound(fits=fits, words=text_of(heard))
        said = text_of(await ask(port, EZO_INFORMATION, ANSWER_TIMEOUT_S))
        found = _circuit(said, models) or await _sdi12_sensor(port)
    return found or PortFound(words=said or text_of(heard))


def _circuit(said: str, models: Sequence[DeviceSettings]) -> PortFound | None:
    """Return the EZO circuit that answered."""
    question, _, rest = said.partition(",")
    if question.upper() != "?I":
        return None
    profile = f"ezo-{rest.partition(',')[0].lower()}"
    return PortFound(
        fits=[Fit(profile=model.id, evidence=0, points=1) for model in models if model.id == profile], words=said
    )


async def _sdi12_sensor(port: Port) -> PortFound | None:
    """Return the SDI-12 sensor that answered; of several on the bus nobody can be understood."""
    question = f"{ANY_ADDRESS}!".encode()
    # An adapter may have kept the question before, and send both as one.
    said = await ask(port, question, ANSWER_TIMEOUT_S) or await ask(port, question, ANSWER_TIMEOUT_S)
    address = text_of(said)
    if ADDRESS.fullmatch(address) is None:
        return None
    identity = identity_of(await ask(port, f"{address}I!".encode(), ANSWER_TIMEOUT_S))
    return PortFound(words=f"SDI-12 address {address}: {identity}", address=address)
