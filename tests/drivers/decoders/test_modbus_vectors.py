"""Every real or documented read, decoded point by point as its hints say."""

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.decoders.modbus_device import decode_block
from drivers.decoders.modbus_options import ModbusPointOptions
from edge.domain.reading import Quality, Reason
from fakes.modbus_points import modbus_device

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "modbus_read.json").read_text(encoding="utf-8"))
# Marks that a vector's note names, which no hint does.
MARKS = {"vaisala-int16-na": (0x8000,)}


def options(hint: dict[str, Any], invalid_raw: tuple[int, ...]) -> ModbusPointOptions:
    if "bit_index" in hint:
        return ModbusPointOptions(table="coil", address=hint["bit_index"], type="bool")
    is_text = hint["type"] == "ascii"
    return ModbusPointOptions(
        table="holding",
        address=hint["reg"],
        type="string" if is_text else hint["type"],
        registers=hint["count"] if is_text else 0,
        word_order="CDAB" if hint.get("word_order") == "little" else "ABCD",
        scale=hint.get("scale", 1),
        raw_offset=hint.get("offset", 0),
        invalid_raw=invalid_raw,
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vectors_hints_give_its_values(vector: dict[str, Any]) -> None:
    hints = [*vector["expect"], *vector.get("expect_null", ())]
    invalid_raw = MARKS.get(vector["id"], ())
    device = modbus_device(**{hint["name"]: options(hint, invalid_raw) for hint in hints})
    values = vector.get("registers") or vector["bits"]
    readings = decode_block(device, "coil" if "bits" in vector else "holding", 0, values)
    assert readings.keys() == {hint["name"] for hint in hints}
    for hint in vector["expect"]:
        wanted, value = hint["value"], readings[hint["name"]].value
        if isinstance(wanted, str):
            assert value == wanted.strip("\t\0")
        else:
            assert value == pytest.approx(wanted, rel=1e-6, abs=hint.get("tolerance", 1e-9))
    for hint in vector.get("expect_null", ()):
        assert readings[hint["name"]].quality is Quality.BAD
        assert readings[hint["name"]].reason is Reason.SENSOR_FAULT
