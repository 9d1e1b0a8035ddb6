"""What the discipline of one line promises about late answers, on virtual time."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from drivers.decoders.dialogue import NoAnswer, instruction
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.sdi12 import Sdi12Decoder, measurement
from drivers.serial.exchange import QUIET_S_MAX, Exchange, LineDevice
from fakes.serial_line import QUIET_S, TIMEOUT_S, NumberedCircuit, SerialLine, answer, in_turn, late, prompt
from fakes.serial_peer import Behaviour, Reply, silent
from fakes.virtual_time import run_virtual


def test_a_late_answer_meets_no_other_question() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(in_turn(late(TIMEOUT_S + 0.5), prompt))
        with pytest.raises(NoAnswer):
            await circuit.ask(1)
        assert await circuit.ask(2) == 2.0
        # It was asked once the late answer was in and the line was quiet.
        assert circuit.line.sent_at_s[1] == pytest.approx(TIMEOUT_S + 0.5 + QUIET_S)

    run_virtual(main)


def test_an_answer_that_comes_with_the_next_one_is_passed_over() -> None:
    held: list[Reply] = []

    def hold(request: bytes) -> Sequence[Reply]:
        held.append(answer(request))
        return ()

    def hand_over(request: bytes) -> Sequence[Reply]:
        return (*held, answer(request, 0.9))

    async def main() -> None:
        circuit = NumberedCircuit(in_turn(hold, hand_over, prompt))
        with pytest.raises(NoAnswer):
            await circuit.ask(1)
        assert [await circuit.ask(number) for number in (2, 3)] == [2.0, 3.0]

    run_virtual(main)


def test_a_device_that_was_very_late_once_is_given_more_time_after_its_next_failure() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(in_turn(late(5.0), silent, prompt))
        with pytest.raises(NoAnswer):
            await circuit.ask(1)
        await asyncio.sleep(60)
        with pytest.raises(NoAnswer):
            await circuit.ask(2)
        await circuit.ask(3)
        # Four seconds after its time-out, so twice that is waited.
        assert circuit.line.sent_at_s[2] - circuit.line.sent_at_s[1] == pytest.approx(TIMEOUT_S + 8.0)

    run_virtual(main)


def test_a_line_of_the_setup_does_not_make_up_for_a_missed_answer() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(in_turn(silent, silent, lambda request: [Reply(b"1.000\r"), answer(request, 0.9)]))
        with pytest.raises(NoAnswer):
            await circuit.ask(1)
        await circuit.exchange.run_dialogue(
            circuit.device, lambda _owed: instruction(b"C,0\r", circuit.read, pause_s=0.3)
        )
        assert await circuit.ask(2) == 2.0

    run_virtual(main)


def test_a_failure_that_lies_back_costs_no_time() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(in_turn(silent, prompt))
        with pytest.raises(NoAnswer):
            await circuit.ask(1)
        await asyncio.sleep(10)
        now_s = asyncio.get_running_loop().time()
        assert await circuit.ask(2) == 2.0
        assert circuit.line.sent_at_s[1] == now_s

    run_virtual(main)


def test_on_a_line_that_never_falls_silent_the_next_question_is_asked_all_the_same() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(in_turn(silent, prompt))
        for halves in range(500):
            circuit.line.say_later(Reply(b"\xfe\r", halves * QUIET_S / 2))
        with pytest.raises(FrameMalformed):
            await circuit.ask(1)
        assert await circuit.ask(2) == 2.0
        assert circuit.line.sent_at_s[1] <= TIMEOUT_S + QUIET_S_MAX + QUIET_S

    run_virtual(main)


def test_a_question_that_was_cancelled_counts_as_not_answered() -> None:
    async def main() -> None:
        circuit = NumberedCircuit(in_turn(late(0.5), prompt))
        asking = asyncio.ensure_future(circuit.ask(1))
        await asyncio.sleep(0.2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await circuit.ask(2) == 2.0

    run_virtual(main)


def test_a_dead_sensor_with_an_address_costs_the_others_only_the_quiet_period() -> None:
    def one_is_dead(request: bytes) -> Sequence[Reply]:
        return () if request == b"1R0!" else (Reply(b"0+5.5\r\n", 0.01),)

    async def main() -> None:
        line = SerialLine(one_is_dead)
        exchange = Exchange(line, quiet_s=QUIET_S, character_s=0.0)
        devices = [
            LineDevice(
                decoder=Sdi12Decoder(address=address), response_timeout_s=TIMEOUT_S, gap_s=0.0, says_address=True
            )
            for address in "01"
        ]
        with pytest.raises(NoAnswer):
            await exchange.run_dialogue(devices[1], lambda owed: measurement("1", "R0", to_the_end=owed))
        await exchange.run_dialogue(devices[0], lambda owed: measurement("0", "R0", to_the_end=owed))
        assert asyncio.get_running_loop().time() == pytest.approx(TIMEOUT_S + QUIET_S + 0.01)

    run_virtual(main)


def disturbed(chance: random.Random) -> Behaviour:
    """One answer in three is late, lost, held back until the next question, torn, or comes with noise around it."""
    held: list[bytes] = []

    def behave(request: bytes) -> Sequence[Reply]:
        whole = answer(request).data
        if held:
            return (Reply(held.pop(), 0.01), Reply(whole, 0.9))
        late_s = TIMEOUT_S + chance.uniform(0, 0.99 * TIMEOUT_S)
        ways: list[Sequence[Reply]] = [
            (Reply(whole, late_s),),
            (),
            (Reply(whole[:-1], 0.1),),
            (Reply(chance.randbytes(9) + b"\r", 0.1), Reply(whole, 0.2)),
            (Reply(b"*OK\r?I,pH,1.96\r", 0.01), Reply(whole, 0.02)),
        ]
        way = chance.randrange(18)
        if way == len(ways):
            held.append(whole)
            return ()
        return ways[way] if way < len(ways) else prompt(request)

    return behave


@pytest.mark.parametrize("seed", range(5))
def test_no_answer_of_thousands_is_taken_for_another_questions(seed: int) -> None:
    async def main() -> None:
        circuit = NumberedCircuit(disturbed(random.Random(seed)))
        answered = 0
        for number in range(2000):
            try:
                value = await circuit.ask(number)
            except (NoAnswer, FrameMalformed):
                continue
            assert value == number
            answered += 1
        assert answered > 1500

    run_virtual(main)
