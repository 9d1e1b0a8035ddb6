"""The driver against a peer that misbehaves on the wire."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from drivers.modbus.driver import MALFORMED_MAX, UNANSWERED_MAX, ModbusDriver
from drivers.modbus.options import ModbusDeviceOptions
from edge.domain.driver import ConnectionLost, DeviceUnreachable, DriverError, MalformedResponse
from edge.domain.reading import Reading, Reason, bad
from fakes.modbus_peer import (
    Behaviour,
    Close,
    Hang,
    Hold,
    Peer,
    Request,
    Send,
    answer,
    hang,
    in_turn,
    misbehaving_peer,
    registers_pdu,
)
from fakes.modbus_site import connection, device, point

# Each register holds its own address: a value says which question it answers.
TWO_UNITS = (
    device("first", point("t", 11), options=ModbusDeviceOptions(address=1)),
    device("second", point("t", 22), options=ModbusDeviceOptions(address=2)),
)
# Two blocks: the hole is too wide to be read.
TWO_BLOCKS = device("bench", point("near", 1), point("far", 50))


def driver_for(peer: Peer, *, response_timeout_ms: int = 100) -> ModbusDriver:
    return ModbusDriver(connection(peer.port, *TWO_UNITS, response_timeout_ms=response_timeout_ms))


async def test_a_late_answer_is_never_taken_for_the_next_request() -> None:
    late = in_turn(lambda request: Hold(request.reply()), answer)
    async with misbehaving_peer(late) as peer:
        driver = driver_for(peer)
        async with driver.open():
            with pytest.raises(DeviceUnreachable, match="unit 1"):
                await driver.poll("first")
            # The peer sends the old answer and the new one in one go.
            sample = await driver.poll("second")
    assert sample.readings == {"t": Reading(value=22.0, unit="Cel")}


async def test_a_silent_unit_costs_one_time_out_and_leaves_the_link_open() -> None:
    def unit_2_only(request: Request) -> Send | Hang:
        return answer(request) if request.unit == 2 else Hang()

    async with misbehaving_peer(unit_2_only) as peer:
        driver = driver_for(peer, response_timeout_ms=50)
        async with driver.open():
            for _ in range(6):
                with pytest.raises(DeviceUnreachable):
                    await driver.poll("first")
                assert (await driver.poll("second")).readings["t"].value == 22.0
        assert peer.connections == 1
        assert len(peer.requests) == 12


async def test_after_the_first_silence_the_rest_of_the_poll_is_not_asked() -> None:
    async with misbehaving_peer(hang) as peer:
        driver = ModbusDriver(connection(peer.port, TWO_BLOCKS, response_timeout_ms=50))
        async with driver.open():
            with pytest.raises(DeviceUnreachable):
                await driver.poll("bench")
        assert len(peer.requests) == 1


async def test_points_behind_a_silence_are_bad_if_others_were_read() -> None:
    async with misbehaving_peer(in_turn(answer, hang)) as peer:
        driver = ModbusDriver(connection(peer.port, TWO_BLOCKS, response_timeout_ms=50))
        async with driver.open():
            readings = (await driver.poll("bench")).readings
    assert readings == {"near": Reading(value=1.0, unit="Cel"), "far": bad(Reason.COMM_ERROR, "Cel")}


async def test_a_block_about_which_the_device_is_silent_keeps_none_of_the_others_from_being_read() -> None:
    settings = device("bench", *(point(f"p{address}", address) for address in (0, 10, 20, 30)))

    def behave(request: Request) -> Send | Hang:
        return Hang() if request.address in {0, 20} else answer(request)

    async with misbehaving_peer(behave) as peer:
        driver = ModbusDriver(connection(peer.port, settings, response_timeout_ms=30))
        async with driver.open():
            with pytest.raises(DeviceUnreachable):
                await driver.poll("bench")
            await driver.poll("bench")
            for _ in range(3):
                readings = (await driver.poll("bench")).readings
                assert [reading.value for reading in readings.values()] == [None, 10.0, None, 30.0]


async def test_a_device_whose_answers_are_none_does_not_hold_up_the_others_with_all_its_blocks() -> None:
    settings = device("bench", *(point(f"p{address}", address) for address in range(0, 300, 10)))

    def wrong_count(request: Request) -> Send:
        return Send(request.reply(pdu=registers_pdu(3, [7, 7])))

    async with misbehaving_peer(wrong_count) as peer:
        driver = ModbusDriver(connection(peer.port, settings, response_timeout_ms=30))
        async with driver.open():
            with pytest.raises(MalformedResponse):
                await driver.poll("bench")
        assert len(peer.requests) == MALFORMED_MAX


@pytest.mark.parametrize("trouble", [hang, lambda request: Send(request.reply(pdu=registers_pdu(3, [7, 7])))])
async def test_what_was_read_of_a_refused_block_is_kept_whatever_comes_then(trouble: Behaviour) -> None:
    settings = device("bench", *(point(f"p{address}", address) for address in range(4)))

    def behave(request: Request) -> Send | Hang | Hold | Close:
        if request.count > 1:
            return Send(request.refusal(2))
        return trouble(request) if request.address == 3 else answer(request)

    async with misbehaving_peer(behave) as peer:
        driver = ModbusDriver(connection(peer.port, settings, response_timeout_ms=30))
        async with driver.open():
            readings = (await driver.poll("bench")).readings
    assert [reading.value for reading in readings.values()] == [0.0, 1.0, 2.0, None]


async def test_a_device_that_refused_everything_once_is_asked_for_whole_blocks_again() -> None:
    settings = device("bench", *(point(f"p{address}", address) for address in range(4)))

    def refuse(request: Request) -> Send:
        return Send(request.refusal(2))

    async with misbehaving_peer(in_turn(*[refuse] * 5, answer)) as peer:
        driver = ModbusDriver(connection(peer.port, settings))
        async with driver.open():
            with pytest.raises(MalformedResponse):
                await driver.poll("bench")
            await driver.poll("bench")
    assert [request.count for request in peer.requests] == [4, 1, 1, 1, 1, 4]


async def test_a_link_on_which_nobody_answers_is_given_up() -> None:
    async with misbehaving_peer(hang) as peer:
        driver = driver_for(peer, response_timeout_ms=20)
        async with driver.open():
            for _ in range(UNANSWERED_MAX - 1):
                with pytest.raises(DeviceUnreachable):
                    await driver.poll("first")
            with pytest.raises(ConnectionLost, match="no device has answered"):
                await driver.poll("second")


async def test_a_link_with_many_devices_is_not_given_up_before_all_were_silent() -> None:
    devices = [device(f"d{unit}", point("t"), options=ModbusDeviceOptions(address=unit)) for unit in range(1, 9)]
    async with misbehaving_peer(hang) as peer:
        driver = ModbusDriver(connection(peer.port, *devices, response_timeout_ms=10))
        async with driver.open():
            for each in devices[:-1]:
                with pytest.raises(DeviceUnreachable):
                    await driver.poll(each.id)
            with pytest.raises(ConnectionLost, match="last 8 requests"):
                await driver.poll(devices[-1].id)
        assert [request.unit for request in peer.requests] == list(range(1, 9))


async def test_an_exception_to_another_function_is_no_refusal_of_this_one() -> None:
    async with misbehaving_peer(lambda request: Send(request.reply(pdu=b"\x84\x02"))) as peer:
        driver = driver_for(peer)
        async with driver.open():
            with pytest.raises(MalformedResponse, match="no answer to it: 84 02"):
                await driver.poll("first")


@pytest.mark.parametrize("rest", [b"", b"\x00\x01\x00"])
async def test_a_peer_that_closes_fails_the_pending_request_at_once(rest: bytes) -> None:
    async with misbehaving_peer(lambda _request: Close(rest)) as peer:
        driver = driver_for(peer, response_timeout_ms=60_000)
        async with driver.open(), asyncio.timeout(10):
            with pytest.raises(ConnectionLost):
                await driver.poll("first")
            with pytest.raises(ConnectionLost):
                await driver.poll("second")


async def test_a_driver_is_opened_again_after_a_loss() -> None:
    async with misbehaving_peer(in_turn(lambda _request: Close(), answer)) as peer:
        driver = driver_for(peer)
        with pytest.raises(ConnectionLost):
            async with driver.open():
                await driver.poll("first")
        async with driver.open():
            assert (await driver.poll("first")).readings["t"].value == 11.0


async def test_half_an_answer_ends_the_connection_since_the_stream_is_torn() -> None:
    async with misbehaving_peer(in_turn(lambda request: Send(request.reply()[:-1]), answer)) as peer:
        driver = driver_for(peer)
        async with driver.open():
            with pytest.raises(ConnectionLost, match="half an answer"):
                await driver.poll("first")
        async with driver.open():
            assert (await driver.poll("second")).readings["t"].value == 22.0


MALFORMED: dict[str, Callable[[Request], bytes]] = {
    "another function": lambda request: request.reply(pdu=registers_pdu(4, [7])),
    "too few registers": lambda request: request.reply(pdu=registers_pdu(request.function, [])),
    "too many registers": lambda request: request.reply(pdu=registers_pdu(request.function, [7, 8])),
    "a byte count beyond the frame": lambda request: request.reply(pdu=bytes([request.function, 9, 0, 7])),
    "half a register": lambda request: request.reply(pdu=bytes([request.function, 3, 0, 7, 0])),
    "an unknown function": lambda request: request.reply(pdu=bytes([0x55, 1, 2])),
    "an exception to another function": lambda request: request.reply(pdu=b"\x84\x02"),
    "an exception without code": lambda request: request.reply(pdu=b"\x83"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_answer_is_never_a_number(name: str, caplog: pytest.LogCaptureFixture) -> None:
    malformed = MALFORMED[name]
    async with misbehaving_peer(in_turn(lambda request: Send(malformed(request)), answer)) as peer:
        driver = driver_for(peer)
        async with driver.open():
            with caplog.at_level(logging.WARNING), pytest.raises((MalformedResponse, ConnectionLost)) as failure:
                await driver.poll("first")
            if failure.type is MalformedResponse:
                assert (await driver.poll("second")).readings["t"].value == 22.0
    assert caplog.records == []


@pytest.mark.parametrize("name", ["another unit", "another transaction", "another protocol"])
async def test_an_answer_to_somebody_else_is_no_answer(name: str) -> None:
    def foreign(request: Request) -> Send:
        match name:
            case "another unit":
                return Send(request.reply(unit=9))
            case "another transaction":
                return Send(request.reply(transaction=request.transaction + 100))
            case _:
                reply = request.reply()
                return Send(reply[:2] + b"\x00\x01" + reply[4:])

    async with misbehaving_peer(in_turn(foreign, answer)) as peer:
        driver = driver_for(peer)
        async with driver.open():
            with pytest.raises((DeviceUnreachable, ConnectionLost)):
                await driver.poll("first")


async def test_a_cancelled_poll_closes_the_connection() -> None:
    asked = asyncio.Event()

    def silent(_request: Request) -> Hang:
        asked.set()
        return Hang()

    async with misbehaving_peer(silent) as peer:
        driver = driver_for(peer, response_timeout_ms=60_000)
        async with driver.open():
            poll = asyncio.create_task(driver.poll("first"))
            await asked.wait()
            poll.cancel()
            with pytest.raises(asyncio.CancelledError):
                await poll
            with pytest.raises(ConnectionLost):
                await driver.poll("second")


async def test_a_silent_unit_writes_nothing_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with misbehaving_peer(hang) as peer:
        driver = driver_for(peer, response_timeout_ms=10)
        async with driver.open():
            for _ in range(2):
                with pytest.raises(DriverError):
                    await driver.poll("first")
    assert caplog.records == []
