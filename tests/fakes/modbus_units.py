"""A Modbus/TCP gateway with units behind it: registers that they hold, and refusals for all others."""

from collections.abc import Mapping

from fakes.modbus_peer import Behaviour, Hang, Request, Send, registers_pdu

# (function, address) -> register
Image = Mapping[tuple[int, int], int]


def image(function: int, start: int, *registers: int) -> Image:
    """Registers in a row."""
    return {(function, start + index): register for index, register in enumerate(registers)}


def units(images: Mapping[int, Image]) -> Behaviour:
    """Answer for these units; what they do not hold is refused, and all other units are silent."""

    def behave(request: Request) -> Send | Hang:
        if request.unit not in images:
            return Hang()
        held = images[request.unit]
        wanted = [(request.function, request.address + index) for index in range(request.count)]
        if not all(place in held for place in wanted):
            return Send(request.refusal(2))
        return Send(request.reply(pdu=registers_pdu(request.function, [held[place] for place in wanted])))

    return behave
