"""A serial port in memory, for tests on virtual time: what arrives, and when, is the test's."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from drivers.decoders.dialogue import Dialogue, Fields, question
from drivers.decoders.ezo import EzoDecoder
from drivers.serial.exchange import Exchange, LineDevice
from drivers.serial.port import Chunk
from edge.domain.driver import ConnectionLost
from fakes.serial_peer import Behaviour, Reply


class SerialLine:
    """A Port whose peer answers as the test says."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.sent: list[bytes] = []
        # When each question was sent, on the event loop's clock.
        self.sent_at_s: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._chunks: list[Chunk] = []
        self._arrived = asyncio.Event()
        self._lost = ""

    def take(self) -> Sequence[Chunk]:
        if not self._chunks and self._lost:
            raise ConnectionLost(self._lost)
        chunks, self._chunks = self._chunks, []
        self._arrived.clear()
        return chunks

    async def wait(self, until_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._arrived.wait()
        return self._arrived.is_set()

    async def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.sent_at_s.append(self._loop.time())
        for reply in self.behave(data):
            self.say_later(reply)

    def say_later(self, reply: Reply) -> None:
        self._loop.call_later(reply.after_s, self.say, reply.data)

    def say(self, data: bytes, *, is_torn: bool = False) -> None:
        self._chunks.append(Chunk(data, self._loop.time(), is_torn))
        self._arrived.set()

    def lose(self) -> None:
        self._lost = "the line is gone"
        self._arrived.set()


TIMEOUT_S = 1.0
QUIET_S = 0.1


class NumberedCircuit:
    """Asks an EZO circuit for the number in its question: each answer shows which question it belongs to."""

    def __init__(self, behave: Behaviour, *, gap_s: float = 0.0) -> None:
        self.line = SerialLine(behave)
        self.exchange = Exchange(self.line, quiet_s=QUIET_S, character_s=0.0)
        self.decoder = EzoDecoder()
        self.device = LineDevice(decoder=self.decoder, response_timeout_s=TIMEOUT_S, gap_s=gap_s, says_address=False)

    async def ask(self, number: int) -> float:
        def dialogue(is_owed: bool) -> Dialogue[Fields]:
            return question(f"{number}\r".encode(), self.read, {"0"}, to_the_end=is_owed)

        fields = await self.exchange.run_dialogue(self.device, dialogue)
        value = fields["0"].value
        assert isinstance(value, float)
        return value

    def read(self, frame: bytes) -> Fields:
        return self.decoder.fields(frame)


def answer(request: bytes, after_s: float = 0.05) -> Reply:
    """Answer question 12 by 12.000."""
    return Reply(b"%d.000\r" % int(request), after_s)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    left = list(behaviours)

    def behave(request: bytes) -> Sequence[Reply]:
        behaviour = left.pop(0) if len(left) > 1 else left[0]
        return behaviour(request)

    return behave


def prompt(request: bytes) -> Sequence[Reply]:
    return (answer(request),)


def late(after_s: float) -> Behaviour:
    return lambda request: (answer(request, after_s),)
