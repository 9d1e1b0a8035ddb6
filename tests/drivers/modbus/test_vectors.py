"""Frames of real devices, answered on a line and over Modbus/TCP."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from drivers.decoders.modbus_point import PointType, Table
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.options import ModbusDeviceOptions, Transport
from edge.domain.settings import PointSettings
from fakes.modbus_line import Asked, Piece, line_of
from fakes.modbus_site import device, on_line, point

VECTORS = [
    vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors/modbus_read.json").read_text(encoding="utf-8"))
    if vector.get("request_hex") and vector.get("response_hex") and vector.get("response_crc_ok")
]
TABLES: dict[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


def point_of(expected: dict[str, Any], function: int, start: int) -> PointSettings:
    kind: PointType = "bool" if "bit_index" in expected else expected["type"]
    return point(
        expected["name"],
        start + expected.get("bit_index", expected.get("reg", 0)),
        table=TABLES[function],
        type=kind,
        word_order="CDAB" if expected.get("word_order") == "little" else "ABCD",
        scale=float(expected.get("scale", 1)),
        raw_offset=float(expected.get("offset", 0)),
    )


def usable(vector: dict[str, Any]) -> bool:
    """Texts are the decoders' own test's."""
    return bool(vector["expect"]) and all(item.get("type") not in {"ascii", "string"} for item in vector["expect"])


@pytest.mark.parametrize("transport", ["serial", "tcp"])
@pytest.mark.parametrize("vector", [each for each in VECTORS if usable(each)], ids=lambda vector: vector["id"])
async def test_a_real_frame_gives_the_documented_values(vector: dict[str, Any], transport: Transport) -> None:
    question = bytes.fromhex(vector["request_hex"])
    answered = bytes.fromhex(vector["response_hex"])
    unit, function, start = question[0], question[1], int.from_bytes(question[2:4], "big")
    count = int.from_bytes(question[4:6], "big")
    expected = vector["expect"]

    def behave(asked: Asked) -> Sequence[Piece]:
        """Cut out what was asked for from the captured answer."""
        assert (asked.unit, asked.pdu[0]) == (unit, function)
        first = asked.address - start
        assert first >= 0
        assert first + asked.count <= count
        if (first, asked.count) == (0, count):
            return [Piece(data=asked.framed(answered[1:-2]))]
        if function <= 2:
            bits = int.from_bytes(answered[3:-2], "little") >> first
            length = (asked.count + 7) // 8
            return [Piece(data=asked.framed(bytes([function, length]) + bits.to_bytes(8, "little")[:length]))]
        data = answered[3 + 2 * first : 3 + 2 * (first + asked.count)]
        return [Piece(data=asked.framed(bytes([function, len(data)]) + data))]

    points = [point_of(item, function, start) for item in expected]
    async with line_of(transport, behave) as (_, options):
        at = ModbusDeviceOptions(address=unit, hole_max=8)
        driver = ModbusDriver(on_line(options, device("vector", *points, options=at)))
        async with driver.open():
            readings = (await driver.poll("vector")).readings
    for item in expected:
        value = readings[item["name"]].value
        assert value == pytest.approx(item["value"], rel=1e-6, abs=item.get("tolerance", 1e-9)), item["name"]
