"""Questions and answers on virtual time: what is an answer, and what ends the waiting."""

import asyncio
from collections.abc import Sequence

import pytest

from drivers.decoders.frame import FrameMalformed
from drivers.decoders.sdi12 import Sdi12Decoder, measurement
from drivers.serial.exchange import Exchange, LineDevice
from edge.domain.driver import ConnectionLost
from fakes.serial_line import QUIET_S, TIMEOUT_S, NumberedCircuit, SerialLine, answer, prompt
from fakes.serial_peer import Reply, silent
from fakes.virtual_time import run_virtual


def test_an_answer_is_taken_and_the_gap_is_kept() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(prompt, gap_s=0.3)
        assert [await circuit.ask(number) for number in (1, 2)] == [1.0, 2.0]
        first_s, second_s = circuit.line.sent_at_s
        assert second_s - first_s == pytest.approx(0.05 + 0.3)

    run_virtual(main)


def test_half_a_line_from_before_a_question_is_no_part_of_its_answer() -> None:
    def torn(request: bytes) -> Sequence[Reply]:
        return (Reply(b"00001\r\n0+9"),) if request == b"0M!" else (Reply(b"0+5\r\n"),)

    async def main() -> None:
        exchange = Exchange(SerialLine(torn), quiet_s=QUIET_S, character_s=0.0)
        device = LineDevice(decoder=Sdi12Decoder(), response_timeout_s=TIMEOUT_S, gap_s=0.0, says_address=True)
        assert (await exchange.run_dialogue(device, lambda _owed: measurement("0", "M")))["0"].value == 5.0

    run_virtual(main)


def test_junk_without_end_does_not_hold_a_question_longer_than_its_time() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(lambda _request: [Reply(b"x\r" * 500, tick / 1000) for tick in range(5000)])
        with pytest.raises(FrameMalformed, match="no reading"):
            await circuit.ask(1)
        assert asyncio.get_running_loop().time() == pytest.approx(TIMEOUT_S, abs=0.01)

    run_virtual(main)


def test_what_came_before_the_question_is_no_answer() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(prompt)
        circuit.line.say(b"99.000\r98.")
        assert await circuit.ask(1) == 1.0

    run_virtual(main)


def test_unsolicited_lines_and_the_echo_are_passed_over() -> None:
    def chatty(request: bytes) -> Sequence[Reply]:
        return (
            Reply(request),
            Reply(b"*OV\r"),
            Reply(b"?I,pH,1.96\r", 0.1),
            Reply(b"\xff\x00\r", 0.2),
            answer(request, 0.3),
        )

    async def main() -> None:
        assert await NumberedCircuit(chatty).ask(7) == 7.0

    run_virtual(main)


def test_only_what_is_no_answer_tells_what_came() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(lambda _request: [Reply(b"?I,pH,1.96\r")])
        with pytest.raises(FrameMalformed, match="another command") as caught:
            await circuit.ask(1)
        assert caught.value.__notes__ == ["frame: b'?I,pH,1.96'"]

    run_virtual(main)


def test_a_restart_is_heard_within_an_answer_and_between_questions() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(lambda request: [Reply(b"*RE\r"), answer(request)])
        await circuit.ask(1)
        assert circuit.exchange.restarts == 1
        circuit.line.say(b"*RS\r")
        circuit.line.behave = prompt
        await circuit.ask(2)
        assert circuit.exchange.restarts == 2
        circuit.line.say(b"ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n")
        await circuit.ask(3)
        assert circuit.exchange.restarts == 3

    run_virtual(main)


def test_a_line_that_goes_ends_the_question_at_once() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(silent)
        asyncio.get_running_loop().call_later(0.3, circuit.line.lose)
        with pytest.raises(ConnectionLost):
            await circuit.ask(1)
        assert asyncio.get_running_loop().time() == pytest.approx(0.3)

    run_virtual(main)
