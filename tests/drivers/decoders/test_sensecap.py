import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.payload import JsonValue, PayloadMalformed
from drivers.decoders.sensecap import sensecap_fields


@pytest.mark.parametrize(
    ("frame", "fields"),
    [
        # User guide 9.3.1, 9.3.3 and 9.3.4. The last one's text says 45.5 %, its bytes 41.8.
        ("01 0310 A8550200 E3E9", {"4099": 153.0}),
        ("01 0610 245E0000 01 0710 BCB10000 A3D9", {"4102": 24.1, "4103": 45.5}),
        ("01 0610 5C5D0000 01 0710 48A30000 01 0C10 B4000000 DD0A", {"4102": 23.9, "4103": 41.8, "4108": 0.18}),
        # The samples of the maker's decoder.
        ("01 0110 98530000 01 0210 A87A0000 AF51", {"4097": 21.4, "4098": 31.4}),
        ("00 0000 01010001 00 0700 64003C00 01 2001 00000000 2890", {"battery": 100}),
        # Below zero, and a second probe.
        ("01 0110 B0FBFFFF 02 0110 18FCFFFF 0000", {"4097": -1.104, "2:4097": -1.0}),
    ],
)
def test_groups_are_values_by_measurement_id(frame: str, fields: dict[str, JsonValue]) -> None:
    assert sensecap_fields(bytes.fromhex(frame)) == fields


@pytest.mark.parametrize("frame", ["", "0000", "01 0610 5C5D00", "01 0610 5C5D0000", "01 0610 5C5D0000 DD0A 00"])
def test_an_uplink_that_is_no_groups_and_checksum_is_refused(frame: str) -> None:
    with pytest.raises(PayloadMalformed, match="groups of 7 bytes and a checksum of 2"):
        sensecap_fields(bytes.fromhex(frame))


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_fields_or_a_named_mistake(frame: bytes) -> None:
    try:
        fields = sensecap_fields(frame)
    except PayloadMalformed:
        return
    assert len(fields) <= len(frame) // 7
