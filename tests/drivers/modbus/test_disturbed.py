"""The failure that must never be: the answer to one request taken for the answer to another."""

import asyncio
import os
import random
from collections import Counter

import pytest

from drivers.modbus.options import Transport
from drivers.modbus.owed import OwedAnswers
from drivers.modbus.plan import Block
from drivers.modbus.question import Question
from drivers.modbus.wire import RequestRefused, Wire, open_wire
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from fakes.modbus_line import line_of
from fakes.modbus_misdeeds import EACH, RTU_ONLY, Disturbed, Misdeed

READS = int(os.environ.get("GREENHOUSE_EDGE_DISTURBED_READS", "10000"))
# They wait most of the time, so they wait together.
LINES = 20
RESPONSE_TIMEOUT_MS, QUIET_MS = 10, 10
UNIT = 3

RIGHT, WRONG, REFUSED, FAILED = "right", "wrong", "refused", "failed"


class Forgetful(OwedAnswers):
    """What a driver knows that trusts its quiet period alone."""

    def missed(self, question: Question, asked_s: float) -> None:
        pass


def disturbed(seed: str, misdeeds: tuple[Misdeed, ...], *, share: float = 0.25) -> Disturbed:
    return Disturbed(
        chance=random.Random(seed),
        misdeeds=misdeeds,
        late_s=(0.011, 0.025),
        very_late_s=(0.03, 0.06),
        share=share,
    )


async def read_many(
    transport: Transport, behave: Disturbed, count: int, *, quiet_ms: int, owed: OwedAnswers
) -> Counter[str]:
    """Read so many blocks that look alike on the line, each of other registers."""
    outcomes: Counter[str] = Counter()
    async with line_of(transport, behave, response_timeout_ms=RESPONSE_TIMEOUT_MS, quiet_ms=quiet_ms) as (_, options):
        left = list(range(count))
        while left:
            async with open_wire(options, owed) as wire:
                while left:
                    outcome = await read(wire, left.pop(), behave)
                    outcomes[outcome or FAILED] += 1
                    if outcome is None:
                        break
    return outcomes


async def read(wire: Wire, number: int, behave: Disturbed) -> str | None:
    """Read two registers and look whose they are; None = the connection is lost."""
    address = 2 * number % 60_000
    try:
        values = await wire.read(UNIT, Block(table="holding", address=address, count=2))
    except RequestRefused:
        return REFUSED if address in behave.refused else WRONG
    except ConnectionLost:
        return None
    except (DeviceUnreachable, MalformedResponse):
        return FAILED
    return RIGHT if list(values) == [address, address + 1] else WRONG


async def read_on_lines(
    transport: Transport, misdeeds: tuple[Misdeed, ...], seed: int
) -> tuple[Counter[str], Counter[Misdeed]]:
    behaviours = [disturbed(f"{seed}/{line}", misdeeds) for line in range(LINES)]
    async with asyncio.TaskGroup() as tasks:
        reading = [
            tasks.create_task(read_many(transport, each, READS // LINES, quiet_ms=QUIET_MS, owed=OwedAnswers()))
            for each in behaviours
        ]
    outcomes = sum((task.result() for task in reading), Counter[str]())
    return outcomes, sum((each.counts for each in behaviours), Counter[Misdeed]())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("transport", ["serial", "rtu_over_tcp", "tcp"])
async def test_no_disturbed_read_ever_gives_a_value_of_another_request(transport: Transport) -> None:
    misdeeds = tuple(each for each in EACH if transport != "tcp" or each not in RTU_ONLY)
    seed = random.randrange(10**6)
    outcomes, counts = await read_on_lines(transport, misdeeds, seed)
    assert outcomes[WRONG] == 0, f"seed {seed}: {outcomes}"
    assert outcomes.total() == READS // LINES * LINES
    # Else the claim would be empty. (About four in five are read rightly where the machine has nothing else to do.)
    assert outcomes[RIGHT] > READS / 4
    assert all(counts[each] for each in misdeeds)


@pytest.mark.parametrize("transport", ["serial", "rtu_over_tcp"])
async def test_without_the_discipline_late_answers_are_taken_for_others(transport: Transport) -> None:
    late = disturbed("teeth", (Misdeed.LATE, Misdeed.VERY_LATE))
    outcomes = await read_many(transport, late, 200, quiet_ms=0, owed=Forgetful())
    assert outcomes[WRONG] > 0


@pytest.mark.parametrize("transport", ["serial", "rtu_over_tcp"])
async def test_a_quiet_period_alone_does_not_help_against_answers_later_than_it(transport: Transport) -> None:
    late = disturbed("teeth", (Misdeed.VERY_LATE,))
    outcomes = await read_many(transport, late, 200, quiet_ms=QUIET_MS, owed=Forgetful())
    assert outcomes[WRONG] > 0
