"""The wire on lines without numbers in their frames: a pseudo-terminal, and RTU over TCP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from drivers.modbus.link import Link
from drivers.modbus.options import Pace, Transport
from drivers.modbus.owed import CONFIRMED_MIN, OwedAnswers
from drivers.modbus.plan import Block
from drivers.modbus.question import raw_question, write_question
from drivers.modbus.wire import RequestRefused, Wire, open_wire
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from fakes.modbus_line import Asked, Behaviour, Line, Piece, each_in_turn, line_of, right, silent
from fakes.modbus_peer import registers_pdu

RTU: list[Transport] = ["serial", "rtu_over_tcp"]
UNIT = 3
# Each register holds its own address.
HERE = Block(table="holding", address=8, count=2)
THERE = Block(table="holding", address=100, count=2)
SET = write_question(UNIT, "holding", 5, [77], is_single=True)


@asynccontextmanager
async def wired(transport: Transport, behave: Behaviour, *, quiet_ms: int = 20) -> AsyncIterator[tuple[Wire, Line]]:
    async with line_of(transport, behave, quiet_ms=quiet_ms) as (line, options), open_wire(options) as wire:
        yield wire, line


def sends(make: Callable[[Asked, bytes], bytes], *, after_s: float = 0.0) -> Behaviour:
    """Make what is sent from the request and its right answer."""

    def behave(asked: Asked) -> Sequence[Piece]:
        return [Piece(data=make(asked, asked.framed(asked.right_pdu())), after_s=after_s)]

    return behave


echoing = sends(lambda asked, answer: asked.frame + answer)
echo_alone = sends(lambda asked, _answer: asked.frame)


@pytest.mark.parametrize("transport", RTU)
@pytest.mark.parametrize(
    "behave",
    [
        right,
        echoing,
        sends(lambda _asked, answer: b"\x00\xff\x03\x03" + answer),
        sends(lambda _asked, answer: b"\r\nboot v1.2, ok\r\n" + answer),
        sends(lambda asked, answer: b"\x00" + asked.frame + b"\xff" + answer),
        sends(lambda _asked, answer: answer + answer),
        lambda asked: [Piece(data=bytes([byte])) for byte in asked.framed(asked.right_pdu())],
    ],
    ids=["plain", "echo", "noise", "banner", "echo and noise", "doubled", "byte by byte"],
)
async def test_the_answer_is_found_in_what_lines_add_to_it(transport: Transport, behave: Behaviour) -> None:
    async with wired(transport, behave) as (wire, _):
        assert list(await wire.read(UNIT, HERE)) == [8, 9]
        assert list(await wire.read(UNIT, THERE)) == [100, 101]
        assert await wire.read(UNIT, Block(table="coil", address=0, count=9)) == [False, True] * 4 + [False]


@pytest.mark.parametrize("transport", RTU)
async def test_a_late_answer_is_not_taken_for_the_next_one_however_late_it_is(transport: Transport) -> None:
    held: list[bytes] = []

    def behave(asked: Asked) -> Sequence[Piece]:
        """Answer the first request when the second one is there: beyond any quiet period."""
        answer = asked.framed(asked.right_pdu())
        if len(line.asked) == 1:
            held.append(answer)
            return []
        return [Piece(data=held.pop() + answer if held else answer)]

    async with wired(transport, behave) as (wire, line):
        with pytest.raises(DeviceUnreachable):
            await wire.read(UNIT, HERE)
        assert list(await wire.read(UNIT, THERE)) == [100, 101]
        # In between stood a request whose answer has another length.
        assert [asked.count for asked in line.asked] == [2, 1, 2]


@pytest.mark.parametrize("transport", RTU)
async def test_a_unit_that_owes_nothing_is_asked_at_once(transport: Transport) -> None:
    late = sends(lambda _asked, answer: answer, after_s=0.06)
    async with wired(transport, each_in_turn(late, right), quiet_ms=100) as (wire, line):
        with pytest.raises(DeviceUnreachable):
            await wire.read(UNIT, HERE)
        # The late answer came in the quiet period.
        assert list(await wire.read(UNIT, THERE)) == [100, 101]
        assert len(line.asked) == 2


@pytest.mark.parametrize("transport", RTU)
async def test_a_late_refusal_is_not_taken_for_one_of_the_next_request(transport: Transport) -> None:
    def refusing(asked: Asked) -> Sequence[Piece]:
        """Refuse the first request late, in front of the refusal of the second."""
        refusal = asked.framed(bytes([asked.pdu[0] | 0x80, 2]))
        return [] if len(line.asked) == 1 else [Piece(data=refusal)]

    async with wired(transport, refusing) as (wire, line):
        with pytest.raises(DeviceUnreachable):
            await wire.read(UNIT, HERE)
        with pytest.raises(MalformedResponse, match="perhaps to an older request"):
            await wire.read(UNIT, THERE)
        assert [asked.count for asked in line.asked] == [2, 1]


@pytest.mark.parametrize("transport", RTU)
async def test_a_doubled_answer_that_comes_after_the_next_request_is_not_taken_for_its_answer(
    transport: Transport,
) -> None:
    first: list[bytes] = []

    def behave(asked: Asked) -> Sequence[Piece]:
        answer = asked.framed(asked.right_pdu())
        first.append(answer)
        return [Piece(data=answer)] if len(first) == 1 else [Piece(data=first[0]), Piece(data=answer, after_s=0.003)]

    async with wired(transport, behave) as (wire, _):
        assert list(await wire.read(UNIT, HERE)) == [8, 9]
        assert list(await wire.read(UNIT, THERE)) == [100, 101]


@pytest.mark.parametrize("transport", RTU)
async def test_a_doubled_answer_is_not_taken_for_one_that_does_not_come(transport: Transport) -> None:
    answers: list[bytes] = []

    def behave(asked: Asked) -> Sequence[Piece]:
        """Send the first answer once more in place of the second."""
        answers.append(asked.framed(asked.right_pdu()))
        return [Piece(data=answers[0] if len(answers) == 2 else answers[-1])]

    async with wired(transport, behave) as (wire, line):
        assert list(await wire.read(UNIT, HERE)) == [8, 9]
        assert list(await wire.read(UNIT, THERE)) == [100, 101]
        assert len(line.asked) == 3


@pytest.mark.parametrize("transport", RTU)
async def test_a_unit_whose_blocks_hold_the_same_is_soon_asked_for_each_only_once(transport: Transport) -> None:
    zeros = sends(lambda asked, _answer: asked.framed(registers_pdu(3, [0] * asked.count)))
    async with wired(transport, zeros) as (wire, line):
        for _ in range(CONFIRMED_MIN + 1):
            for block in (HERE, THERE):
                assert list(await wire.read(UNIT, block)) == [0, 0]
        before = len(line.asked)
        for block in (HERE, THERE, HERE):
            assert list(await wire.read(UNIT, block)) == [0, 0]
        assert len(line.asked) == before + 3


@pytest.mark.parametrize("transport", RTU)
async def test_two_blocks_that_hold_the_same_are_both_read(transport: Transport) -> None:
    zeros = sends(lambda asked, _answer: asked.framed(b"\x03\x04\0\0\0\0"))
    async with wired(transport, zeros) as (wire, _):
        assert list(await wire.read(UNIT, HERE)) == [0, 0]
        assert list(await wire.read(UNIT, THERE)) == [0, 0]


@pytest.mark.parametrize("transport", RTU)
async def test_an_echo_alone_is_no_answer(transport: Transport) -> None:
    async with wired(transport, echo_alone) as (wire, _):
        with pytest.raises(DeviceUnreachable):
            await wire.read(UNIT, HERE)
        with pytest.raises(DeviceUnreachable):
            await wire.write(SET)


@pytest.mark.parametrize("transport", RTU)
async def test_a_write_is_confirmed_by_the_second_copy_where_the_line_echoes(transport: Transport) -> None:
    async with wired(transport, echoing) as (wire, line):
        await wire.write(SET)
        assert [asked.pdu[0] for asked in line.asked] == [3, 6]  # a read found the echo out
        line.behave = echo_alone
        with pytest.raises(DeviceUnreachable, match="06 00 05 00 4d"):
            await wire.write(SET)


@pytest.mark.parametrize("transport", RTU)
async def test_a_unit_that_is_silent_about_what_it_does_not_have_is_written_to(transport: Transport) -> None:
    async with wired(transport, lambda asked: right(asked) if asked.pdu[0] == 6 else []) as (wire, line):
        await wire.write(SET)
        assert [asked.pdu[0] for asked in line.asked] == [3, 6]


@pytest.mark.parametrize("transport", [*RTU, "tcp"])
async def test_a_write_is_confirmed_by_its_answer_where_the_line_has_no_echo(transport: Transport) -> None:
    async with wired(transport, right) as (wire, line):
        await wire.write(SET)
        await wire.write(write_question(UNIT, "coil", 1, [1], is_single=True))
        await wire.write(write_question(UNIT, "holding", 5, [1, 2], is_single=False))
        await wire.write(raw_question(UNIT, bytes.fromhex("101c00000000")))
        line.behave = sends(lambda asked, _answer: asked.framed(b"\x06\x00\x05\x00\x4e"))
        with pytest.raises((MalformedResponse, DeviceUnreachable)):
            await wire.write(SET)


@pytest.mark.parametrize("transport", RTU)
async def test_noise_instead_of_an_answer_is_shown_in_the_error(transport: Transport) -> None:
    async with wired(transport, sends(lambda _asked, answer: answer[:-1] + b"\x00")) as (wire, _):
        with pytest.raises(MalformedResponse, match=r"unit 3 at .* holding 8 to 9: 03 03 04 00 08 00 09"):
            await wire.read(UNIT, HERE)


@pytest.mark.parametrize("transport", RTU)
async def test_an_answer_of_the_wrong_length_or_function_is_shown_in_the_error(transport: Transport) -> None:
    wrong = each_in_turn(
        sends(lambda asked, _answer: asked.framed(b"\x03\x02\x00\x07")),
        sends(lambda asked, _answer: asked.framed(b"\x04\x04\x00\x08\x00\x09")),
    )
    async with wired(transport, wrong) as (wire, _):
        with pytest.raises(MalformedResponse, match="03 03 02 00 07"):
            await wire.read(UNIT, HERE)
        with pytest.raises(MalformedResponse, match="03 04 04 00 08 00 09"):
            await wire.read(UNIT, replace(HERE, count=3))


@pytest.mark.parametrize("transport", [*RTU, "tcp"])
@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 8, 99])
async def test_an_exception_is_told_by_its_meaning(transport: Transport, code: int) -> None:
    refusing = sends(lambda asked, _answer: asked.framed(bytes([asked.pdu[0] | 0x80, code])))
    async with wired(transport, refusing) as (wire, _):
        with pytest.raises(RequestRefused, match=f"exception {code}") as refusal:
            await wire.read(UNIT, HERE)
    assert refusal.value.code == code


@pytest.mark.parametrize("transport", [*RTU, "tcp"])
async def test_the_gap_and_the_quiet_period_are_kept(transport: Transport) -> None:
    async with wired(transport, each_in_turn(right, right, silent, right), quiet_ms=80) as (wire, line):
        for _ in range(2):
            await wire.read(UNIT, HERE, Pace(request_gap_ms=60))
        with pytest.raises(DeviceUnreachable):
            await wire.read(UNIT, HERE, Pace(response_timeout_ms=40))
        await wire.read(UNIT, Block(table="input", address=1, count=1))
    first, second, third, fourth = line.asked_s
    assert second - first >= 0.06
    assert third - second >= 0.06
    # When the third was sent is known to nobody but us: it may reach the line late, and no answer to it comes back. But it
    # was sent a gap after the answer to the second.
    assert fourth - second >= 0.06 + 0.04 + 0.08


@pytest.mark.parametrize("transport", RTU)
async def test_the_quiet_period_begins_again_with_each_byte_that_comes_in_it(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both at our own end: when the other end spoke or heard says less.
    sent_s, heard_s = noted(Link, "send", monkeypatch), noted(Link, "data_received", monkeypatch)

    async def murmur() -> None:
        await line.was_asked.wait()
        # Slower than a gap, faster than the quiet period, and longer than both together.
        for _ in range(10):
            line.say(b"\x00")
            await asyncio.sleep(0.02)

    async with wired(transport, each_in_turn(silent, right), quiet_ms=60) as (wire, line):
        murmuring = asyncio.create_task(murmur())
        with pytest.raises((DeviceUnreachable, MalformedResponse)):
            await wire.read(UNIT, HERE, Pace(response_timeout_ms=40))
        await wire.read(UNIT, Block(table="input", address=1, count=1))
        await murmuring
    assert sent_s[1] - max(moment_s for moment_s in heard_s if moment_s < sent_s[1]) >= 0.06


def noted(owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note when a method is called."""
    method = getattr(owner, name)
    called_s: list[float] = []

    def note(*arguments: object) -> None:
        called_s.append(asyncio.get_running_loop().time())
        method(*arguments)

    monkeypatch.setattr(owner, name, note)
    return called_s


@pytest.mark.parametrize("transport", RTU)
async def test_a_line_is_silent_before_the_first_request(transport: Transport) -> None:
    async with line_of(transport, right, quiet_ms=60) as (line, options):
        opened_s = asyncio.get_running_loop().time()
        async with open_wire(options) as wire:
            await wire.read(UNIT, HERE)
    assert line.asked_s[0] - opened_s >= 0.06


@pytest.mark.parametrize("transport", RTU)
async def test_what_a_cancelled_request_left_behind_is_known_on_the_next_connection(transport: Transport) -> None:
    owed = OwedAnswers()
    async with line_of(transport, each_in_turn(silent, right)) as (line, options):
        async with open_wire(options, owed) as wire:
            reading = asyncio.create_task(wire.read(UNIT, HERE))
            await line.was_asked.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            with pytest.raises(ConnectionLost):
                await wire.read(UNIT, HERE)
        async with open_wire(options, owed) as wire:
            assert list(await wire.read(UNIT, THERE)) == [100, 101]
    assert [asked.count for asked in line.asked] == [2, 1, 2]


async def test_two_who_ask_at_once_are_answered_one_after_the_other() -> None:
    async with wired("serial", sends(lambda _asked, answer: answer, after_s=0.005)) as (wire, _):
        here, there = await asyncio.gather(wire.read(UNIT, HERE), wire.read(UNIT, THERE))
    assert (list(here), list(there)) == ([8, 9], [100, 101])


@pytest.mark.parametrize("transport", RTU)
async def test_a_line_that_babbles_does_not_hold_up_the_others_for_ever(transport: Transport) -> None:
    async with wired(transport, right) as (wire, line):

        async def babble() -> None:
            while True:
                line.say(b"x" * 50)
                await asyncio.sleep(0.001)

        babbling = asyncio.create_task(babble())
        assert list(await wire.read(UNIT, replace(HERE, count=4))) == [8, 9, 10, 11]
        babbling.cancel()
