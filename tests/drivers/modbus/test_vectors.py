"""Frames of real devices, answered over a socket: their PDU in a Modbus/TCP frame."""

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.decoders.modbus_point import PointType, Table
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.options import ModbusDeviceOptions
from edge.domain.settings import PointSettings
from fakes.modbus_peer import Request, Send, misbehaving_peer
from fakes.modbus_site import connection, device, point

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
    """Texts come with a later version."""
    return bool(vector["expect"]) and all(item.get("type") not in {"ascii", "string"} for item in vector["expect"])


@pytest.mark.parametrize("vector", [each for each in VECTORS if usable(each)], ids=lambda vector: vector["id"])
async def test_a_real_frame_gives_the_documented_values(vector: dict[str, Any]) -> None:
    asked = bytes.fromhex(vector["request_hex"])
    answered = bytes.fromhex(vector["response_hex"])
    unit, function, start = asked[0], asked[1], int.from_bytes(asked[2:4], "big")
    count = int.from_bytes(asked[4:6], "big")
    expected = vector["expect"]

    def behave(request: Request) -> Send:
        """Cut out what was asked for from the captured answer."""
        assert (request.unit, request.function) == (unit, function)
        first = request.address - start
        assert first >= 0
        assert first + request.count <= count
        if function <= 2:
            bits = int.from_bytes(answered[3:-2], "little") >> first
            length = (request.count + 7) // 8
            return Send(request.reply(pdu=bytes([function, length]) + bits.to_bytes(8, "little")[:length]))
        data = answered[3 + 2 * first : 3 + 2 * (first + request.count)]
        return Send(request.reply(pdu=bytes([function, len(data)]) + data))

    points = [point_of(item, function, start) for item in expected]
    async with misbehaving_peer(behave) as peer:
        options = ModbusDeviceOptions(address=unit, hole_max=8)
        driver = ModbusDriver(connection(peer.port, device("vector", *points, options=options)))
        async with driver.open():
            readings = (await driver.poll("vector")).readings
    for item in expected:
        value = readings[item["name"]].value
        assert value == pytest.approx(item["value"], rel=1e-6, abs=item.get("tolerance", 1e-9)), item["name"]
