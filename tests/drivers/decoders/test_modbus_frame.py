"""Frames from logs and manuals: whole, or a sentence that says what is wrong."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.frame import FRAME_LENGTH_MAX, FrameMalformed
from drivers.decoders.modbus_frame import crc16, parse_request, parse_response
from drivers.decoders.modbus_pdu import ExceptionReply, Reply

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> list[Any]:
    loaded = json.loads((VECTORS / f"modbus_{name}.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    return loaded


def rtu(text: str) -> bytes:
    """These bytes and their CRC."""
    return bytes.fromhex(text) + crc16(bytes.fromhex(text))


def tcp(number: int, text: str) -> bytes:
    body = bytes.fromhex(text)
    return struct.pack(">HHH", number, 0, len(body)) + body


REAL = [vector for vector in vectors("read") if vector.get("response_hex")]


@pytest.mark.parametrize("vector", REAL, ids=lambda vector: vector["id"])
def test_a_real_reply_gives_its_registers_or_bits(vector: dict[str, Any]) -> None:
    request = bytes.fromhex(vector["request_hex"])
    reply = parse_response(bytes.fromhex(vector["response_hex"]), request=request)
    wanted = vector.get("registers") or vector["bits"]
    # A reply fills its last byte with bits that nobody asked for.
    assert list(reply.values) == wanted[: reply.count]
    assert (reply.unit, reply.function) == (request[0], request[1])
    assert (reply.address, reply.count) == struct.unpack(">HH", request[2:6])
    assert reply.table == {1: "coil", 2: "discrete", 3: "holding", 4: "input"}[request[1]]
    alone = parse_response(bytes.fromhex(vector["response_hex"]))
    assert list(alone.values) == wanted
    assert alone.address is None


WRONG = [vector for vector in vectors("negative") if vector["expect_error"] == "crc"]


@pytest.mark.parametrize("vector", WRONG, ids=lambda vector: vector["id"])
def test_a_misprinted_frame_is_refused_and_the_right_crc_is_named(vector: dict[str, Any]) -> None:
    right = vector["correct_crc"].rpartition("response ")[2]
    with pytest.raises(FrameMalformed, match=f"CRC of .* is {vector['response_hex'][-4:]}; {right} would be right"):
        parse_response(bytes.fromhex(vector["response_hex"]))


def test_a_misprinted_request_is_told_from_a_misprinted_reply() -> None:
    with pytest.raises(FrameMalformed, match=r"the request: the CRC of .* is c1ca; 900a would be right"):
        parse_response(rtu("0104020222"), request=bytes.fromhex("010400020001c1ca"))


@pytest.mark.parametrize("code", [2, 11])
def test_an_exception_is_no_value(code: int) -> None:
    (vector,) = [each for each in vectors("negative") if each["expect_error"] == f"exception {code}"]
    with pytest.raises(ExceptionReply, match=rf"refused: exception {code} \(.+\)") as caught:
        parse_response(bytes.fromhex(vector["response_hex"]))
    assert caught.value.code == code


def test_an_exception_without_a_meaning_keeps_its_number() -> None:
    with pytest.raises(ExceptionReply, match=r"exception 200$"):
        parse_response(rtu("0183c8"))


def test_the_echo_of_the_request_is_skipped() -> None:
    (vector,) = [each for each in vectors("negative") if each["id"] == "neg-echo-prefix"]
    heard = bytes.fromhex(vector["response_hex"])
    wanted = Reply(unit=1, function=3, table="holding", address=4, values=(153,), count=1)
    assert parse_response(heard, request=bytes.fromhex(vector["request_hex"])) == wanted
    # The echo says where the value stands, even if nobody else does.
    assert parse_response(heard) == wanted


def test_a_write_on_an_echoing_line_is_confirmed_once() -> None:
    frame = rtu("01050001ff00")
    wanted = Reply(unit=1, function=5, table="coil", address=1, values=(True,), count=1)
    assert parse_response(frame + frame, request=frame) == wanted
    assert parse_response(frame) == wanted


def test_a_greeting_and_noise_around_a_reply_are_skipped() -> None:
    reply = rtu("01030200f0")
    assert parse_response(b"LC-Modbus V1.2\r\n" + reply + b"\xff\x00").values == (240,)


def test_another_units_reply_is_passed_over() -> None:
    heard = rtu("02030200aa") + rtu("010302012c")
    assert parse_response(heard, request=rtu("010300000001")).values == (300,)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("02030200f0", "unit 2, function 3; asked was unit 1, function 3"),
        ("01040200f0", "unit 1, function 4; asked was unit 1, function 3"),
        ("01030400f000f1", "2 registers; asked was for 1"),
        ("010300", "0 bytes of values"),
        ("01030300f000", "3 bytes of values"),
    ],
)
def test_the_reply_to_another_request_is_refused(reply: str, said: str) -> None:
    with pytest.raises(FrameMalformed, match=said):
        parse_response(rtu(reply), request=rtu("010300000001"))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("011001020002", "a write of 2 at 258; written was 2 at 257"),
        ("011001010001", "a write of 1 at 257; written was 2 at 257"),
    ],
)
def test_the_confirmation_of_another_write_is_refused(reply: str, said: str) -> None:
    with pytest.raises(FrameMalformed, match=said):
        parse_response(rtu(reply), request=rtu("0110010100020400202580"))


def test_a_confirmed_value_that_is_another_is_refused() -> None:
    with pytest.raises(FrameMalformed, match="confirms the value 2; written was 1"):
        parse_response(rtu("010620000002"), request=rtu("010620000001"))


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("", "no bytes"),
        ("0103", "cut off: a reply has at least 5 bytes"),
        ("01030e01e60155", "cut off: it should have 19 bytes and has 7"),
        ("010300040001c5cb", "a request; if the line sent it back"),
        ("010300040001c5cb0103", "cut off"),
        ("deadbeef0000", "173 is no function of a reply"),
        ("48656c6c6f20776f726c64", "no reply in"),
    ],
)
def test_what_is_no_reply_is_said(heard: str, said: str) -> None:
    with pytest.raises(FrameMalformed, match=said):
        parse_response(bytes.fromhex(heard))


def test_modbus_tcp_is_recognised_by_its_header() -> None:
    frame, request = tcp(7, "0104020131"), tcp(7, "010400010001")
    wanted = Reply(unit=1, function=4, table="input", address=1, values=(305,), count=1)
    assert parse_response(frame, request=request) == wanted
    assert parse_response(frame, framing="tcp").values == (305,)
    assert parse_request(request).address == 1
    with pytest.raises(FrameMalformed, match="no reply"):
        parse_response(frame, framing="rtu")
    with pytest.raises(FrameMalformed, match="has the number 0008, the request 0007"):
        parse_response(tcp(8, "0104020131"), request=request)
    with pytest.raises(FrameMalformed, match="has 10 bytes; its header says 11"):
        parse_response(frame[:-1], framing="tcp")
    with pytest.raises(FrameMalformed, match="header of Modbus/TCP"):
        parse_response(rtu("01030200f0"), framing="tcp")
    # The one RTU request that looks like Modbus/TCP, four coils at address 0, is told by its CRC.
    assert parse_request(rtu("010f000000040105")).values == (True, False, True, False)


# What the vectors' names mean in registers and coils.
WRITTEN: dict[str, tuple[int, tuple[int | bool, ...]]] = {
    "xymd02-write-id-baud": (0x0101, (32, 9600)),
    "soil-set-baud-4800": (0x07D1, (1,)),
    "soil-set-baud-9600": (0x07D1, (2,)),
    "thcs-set-baud": (0x07D1, (2,)),
    "s8-abc-enable": (0x1F, (180,)),
    "sdm-write-pulse-const": (0x16, (0x3F80, 0)),
    "relay-on-1": (1, (True,)),
    "relay-off-1": (1, (False,)),
    "relay-on-2": (2, (True,)),
    "relay-on-3": (3, (True,)),
    "fertigation-relay-8-on": (7, (True,)),
    # No legal value of FC05: kept as its number.
    "tower-light-flash": (0, (0xF000,)),
    "lctech-close": (0, (True,)),
    "lctech-open": (0, (False,)),
    "lctech-all-on": (0, (True,) * 8),
    "sunfar-e500-run-40hz": (0x1001, (1, 400)),
    "vts2000-write": (0x2000, (1,)),
    # FC16 of no registers: a vendor's start command.
    "y520-start": (0x1C00, ()),
}


@pytest.mark.parametrize("vector", vectors("write"), ids=lambda vector: vector["id"])
def test_a_write_says_what_it_writes_and_its_reply_confirms_it(vector: dict[str, Any]) -> None:
    request = vector.get("request_hex")
    if request is not None:
        written = parse_request(bytes.fromhex(request))
        assert (written.address, written.values) == WRITTEN[vector["id"]]
        assert written.count == len(written.values)
    if vector.get("response_hex"):
        reply = parse_response(bytes.fromhex(vector["response_hex"]), request=request and bytes.fromhex(request))
        assert reply.table in {"coil", "holding"}
        assert reply.address is not None


def test_no_vector_of_a_write_is_forgotten() -> None:
    assert {each["id"] for each in vectors("write") if each.get("request_hex")} == set(WRITTEN)


@pytest.mark.parametrize(
    ("request_hex", "said"),
    [
        (rtu("010800000001").hex(), "begins like none"),
        ("0103000000010000", "CRC"),
        ("010300", "cut off"),
        (rtu("010300000001").hex() + "00", "longer than the request of 8 bytes"),
        (rtu("01100101000203002025").hex(), "2 values and has 3 bytes"),
    ],
)
def test_what_is_no_request_is_said(request_hex: str, said: str) -> None:
    with pytest.raises(FrameMalformed, match=said):
        parse_request(bytes.fromhex(request_hex))


def test_a_capture_without_end_is_refused_before_it_is_looked_through() -> None:
    with pytest.raises(FrameMalformed, match="no frame"):
        parse_response(bytes(FRAME_LENGTH_MAX + 1))


hexes = st.binary(max_size=300)


@given(hexes, st.none() | hexes | st.just(rtu("010300000001")), st.sampled_from(["rtu", "tcp", None]))
def test_any_bytes_are_a_reply_or_a_named_error(heard: bytes, request: bytes | None, framing: Any) -> None:
    try:
        reply = parse_response(heard, request=request, framing=framing)
    except FrameMalformed:
        return
    assert reply.count >= len(reply.values) or request is None


@given(hexes, st.sampled_from(["rtu", "tcp", None]))
def test_any_bytes_are_a_request_or_a_named_error(heard: bytes, framing: Any) -> None:
    try:
        request = parse_request(heard, framing=framing)
    except FrameMalformed:
        return
    assert 0 <= request.address <= 0xFFFF


@given(
    noise=st.binary(max_size=40),
    unit=st.integers(1, 247),
    registers=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125),
)
def test_a_reply_is_found_behind_any_noise(noise: bytes, unit: int, registers: list[int]) -> None:
    body = bytes((unit, 3, 2 * len(registers))) + struct.pack(f">{len(registers)}H", *registers)
    request = struct.pack(">BBHH", unit, 3, 100, len(registers))
    reply = parse_response(noise + body + crc16(body), request=request + crc16(request), framing="rtu")
    assert reply.values == tuple(registers)
    assert reply.address == 100
