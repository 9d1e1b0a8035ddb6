"""One Modbus host or line: one request at a time, every wait bounded, no answer taken for another's.

Also for tools: `open_wire(options)`, then `wire.read(unit, block)` tells whether a unit answers (it did, unless that
raises DeviceUnreachable: RequestRefused and MalformedResponse are answers, too) and what its registers hold.

Between requests the line is silent for a gap. After a request that failed it is silent for longer, and bytes that
arrive then answer nothing. `owed.py` says when that is not enough on RTU transports, and what is done instead.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

from drivers.decoders.modbus_pdu import exception_text
from drivers.decoders.modbus_point import BIT_TABLES
from drivers.modbus.line_time import line_time
from drivers.modbus.link import LineOpening, Link
from drivers.modbus.listener import RtuListener, TcpListener
from drivers.modbus.options import USUAL_PACE, ModbusConnectionOptions, Pace
from drivers.modbus.owed import OwedAnswers
from drivers.modbus.plan import Block
from drivers.modbus.question import Question, bits_of, read_question, registers_of
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse

# Gateway path unavailable, gateway target failed to respond: a gateway answers so for a unit that does not answer.
NO_ANSWER_BEHIND_GATEWAY = frozenset({10, 11})
ILLEGAL_DATA_ADDRESS = 2
# Acknowledge (it takes longer), busy: the same request may succeed next time.
BUSY = frozenset({5, 6})
# However late a unit was seen to be, and however much noise arrives: after this the other units have their turn.
QUIET_S_MAX = 2.0


class RequestRefused(Exception):  # noqa: N818 - the device's word
    """The device answered with an exception code: it is present, but does not give these points."""

    def __init__(self, code: int) -> None:
        super().__init__(exception_text(code))
        self.code = code


class _Silence(Exception):  # noqa: N818
    """The response time-out has passed."""


class _MaybeDuplicate(Exception):  # noqa: N818
    """The answer may be a duplicate of the last one: the request is sent once more."""


class Wire:
    """An open connection. Cancelling a request closes it: no late answer can meet another question on it."""

    def __init__(self, options: ModbusConnectionOptions, owed: OwedAnswers, opening: LineOpening) -> None:
        self._options = options
        self._owed = owed
        self._loop = asyncio.get_running_loop()
        self._rtu = RtuListener(owed) if options.is_rtu else None
        self._listener: RtuListener | TcpListener = self._rtu or TcpListener()
        self.link = Link(options, opening, on_bytes=self._receive, on_lost=self._lose)
        self._line = line_time(options)
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[bytes] | None = None
        self._heard_s = 0.0
        # A reply to a request sent before a restart may still arrive: stay quiet for quiet_ms first.
        self._ready_s = self._loop.time() + options.quiet_ms / 1000 if options.is_rtu else 0.0

    async def read(self, unit: int, block: Block, pace: Pace = USUAL_PACE) -> Sequence[int | bool]:
        """Ask for one block; returns exactly its registers or bits.

        Raises RequestRefused, DeviceUnreachable, MalformedResponse or ConnectionLost.
        """
        question = read_question(unit, block.table, block.address, block.count)
        async with self._turn:
            if self._rtu is not None and self._owed.is_doubtful(question, self._loop.time()):
                await self._fence(unit, block, pace)
            pdu = await self._ask(question, pace)
        return bits_of(pdu, block.count) if block.table in BIT_TABLES else registers_of(pdu)

    async def write(self, question: Question, pace: Pace = USUAL_PACE) -> None:
        """Send a write, or a maker's own frame, and wait until the unit confirms it.

        On a line with echo the confirmation of FC05 and FC06 is the second copy. A read before the first write finds
        out whether the line has one. Confirmed is not effective: only the value read back tells what the device did.
        Raises as `read`.
        """
        async with self._turn:
            if self._rtu is not None and self._rtu.echoes is None and question.may_equal_its_answer:
                await self._find_echo(question.unit, pace)
            await self._ask(question, pace)

    async def _find_echo(self, unit: int, pace: Pace) -> None:
        """Read a register, also one that the unit refuses: the bytes that come back show whether the line has an echo.

        Silence shows it as well: a unit may ignore a read of a register that it lacks, and is written to all the same.
        """
        assert self._rtu is not None, "a host has no echo"
        try:
            await self._ask(read_question(unit, "holding", 0, 1), pace)
        except (RequestRefused, MalformedResponse):
            return
        except DeviceUnreachable:
            if self._rtu.echoes is None:
                raise

    async def _fence(self, unit: int, block: Block, pace: Pace) -> None:
        """Ask the unit a question of another kind first: behind its answer no owed one of this kind comes."""
        fence = self._owed.fence(unit, block, self._loop.time())
        if fence is None:
            raise DeviceUnreachable(f"unit {unit} at {self._options.where} may still answer an older request")
        try:
            await self._ask(fence, pace)
        except RequestRefused:
            return

    async def _ask(self, question: Question, pace: Pace) -> bytes:
        """Send one request; returns the PDU of its answer. Keeps all silences before and after."""
        await self._wait_for_silence()
        if not self.link.is_open:
            raise ConnectionLost(f"{self._options.where} has closed the connection")
        now_s = self._loop.time()
        is_refusal_doubtful = self._rtu is not None and self._owed.is_refusal_doubtful(question, now_s)
        timeout_ms = _chosen(pace.response_timeout_ms, self._options.response_timeout_ms)
        try:
            pdu = await self._exchange_until_sure(question, timeout_ms / 1000)
            self._check(question, pdu, is_refusal_doubtful=is_refusal_doubtful)
        except (DeviceUnreachable, MalformedResponse):
            await self._keep_quiet(question.unit, now_s)
            raise
        finally:
            gap_ms = _chosen(pace.request_gap_ms, self._options.request_gap_ms)
            repeats_s = self._owed.repeats_by_s(question.unit)
            self._ready_s = max(self._ready_s, self._loop.time() + max(gap_ms / 1000, repeats_s))
        return pdu

    async def _exchange_until_sure(self, question: Question, timeout_s: float) -> bytes:
        try:
            return await self._exchange(question, timeout_s)
        except _MaybeDuplicate:
            await self._wait_for_silence()
            return await self._exchange(question, timeout_s)

    async def _exchange(self, question: Question, timeout_s: float) -> bytes:
        now_s = self._loop.time()
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._answer = answer
        frame = self._listener.ask(question, now_s)
        wait_s = timeout_s + self._line.on_line_s(len(frame) + question.reply_length)
        timer = self._loop.call_later(wait_s, self._time_out, answer)
        self.link.send(frame)
        try:
            return await answer
        except asyncio.CancelledError:
            self._listener.give_up(self._loop.time())
            self.link.close()
            raise
        except (ConnectionLost, _MaybeDuplicate):
            self._listener.give_up(self._loop.time())
            raise
        except _Silence:
            self._explain(question, self._listener.give_up(self._loop.time()))
        finally:
            timer.cancel()
            self._answer = None

    def _explain(self, question: Question, rest: bytes) -> NoReturn:
        """Raise what a request that was not answered in time means."""
        asked = f"unit {question.unit} at {self._options.where}"
        if not rest:
            raise DeviceUnreachable(f"{asked} did not answer {question.text}")
        if self._rtu is None:
            # The start of the next answer is unknown, so the connection is of no more use.
            self.link.close()
            raise ConnectionLost(f"{asked} sent half an answer to {question.text}: {rest.hex(' ')}")
        raise MalformedResponse(f"{asked} sent what is no answer to {question.text}: {rest.hex(' ')}")

    def _check(self, question: Question, pdu: bytes, *, is_refusal_doubtful: bool) -> None:
        """Raise unless the function and the count are right; an exception code is raised as what it means."""
        asked = f"unit {question.unit} at {self._options.where} answered {question.text}"
        if question.is_answered_by(pdu):
            return
        if not question.is_refused_by(pdu):
            raise MalformedResponse(f"{asked} with what is no answer to it: {pdu.hex(' ')}")
        code = pdu[1]
        if code in NO_ANSWER_BEHIND_GATEWAY:
            raise DeviceUnreachable(f"{asked} with {exception_text(code)}")
        if is_refusal_doubtful:
            raise MalformedResponse(f"{asked} with {exception_text(code)}, perhaps to an older request")
        raise RequestRefused(code)

    async def _wait_for_silence(self) -> None:
        """Keep the gap after the last request, and after the last byte on the line."""
        latest_s = self._loop.time() + QUIET_S_MAX
        while True:
            now_s = self._loop.time()
            ready_s = max(self._ready_s, min(latest_s, self._heard_s + self._line.gap_s))
            if ready_s <= now_s:
                return
            await asyncio.sleep(ready_s - now_s)

    async def _keep_quiet(self, unit: int, asked_s: float) -> None:
        """Stay silent after a failure: for `quiet_ms` after the last byte, and as long as this unit was late before.

        The silence is part of the poll that failed, whose duration tells what the unit costs the others.
        """
        quiet_s = self._options.quiet_ms / 1000
        latest_s = self._loop.time() + max(QUIET_S_MAX, quiet_s)
        until_s = max(self._loop.time() + quiet_s, asked_s + self._owed.answers_by_s(unit))
        while (now_s := self._loop.time()) < min(until_s, latest_s):
            await asyncio.sleep(min(until_s, latest_s) - now_s)
            until_s = max(until_s, self._heard_s + quiet_s)

    def _receive(self, data: bytes) -> None:
        now_s = self._heard_s = self._loop.time()
        pdu = self._listener.hear(data, now_s)
        if self._answer is None or self._answer.done():
            return
        if pdu is not None:
            self._answer.set_result(pdu)
        elif self._listener.suspect_until_s is not None:
            self._loop.call_at(self._listener.suspect_until_s, self._end_suspicion, self._answer)

    def _end_suspicion(self, answer: "asyncio.Future[bytes]") -> None:
        if answer.done():
            return
        if self._listener.must_repeat:
            answer.set_exception(_MaybeDuplicate())
        elif (pdu := self._listener.accept_suspect()) is not None:
            answer.set_result(pdu)

    def _time_out(self, answer: "asyncio.Future[bytes]") -> None:
        self._end_suspicion(answer)
        if not answer.done():
            answer.set_exception(_Silence())

    def _lose(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                ConnectionLost(f"{self._options.where} closed the connection before it answered")
            )


def _chosen(own: int | None, shared: int) -> int:
    return shared if own is None else own


@asynccontextmanager
async def open_wire(
    options: ModbusConnectionOptions,
    owed: OwedAnswers | None = None,
    opening: LineOpening | None = None,
) -> AsyncIterator[Wire]:
    """Connect, and close at the end. Raises ConnectionLost if the host or port cannot be opened.

    `owed` is known of the line from earlier connections, `opening` is how its port was opened for them.
    """
    wire = Wire(options, owed or OwedAnswers(), opening or LineOpening())
    try:
        await wire.link.open()
        yield wire
    finally:
        wire.link.close()
