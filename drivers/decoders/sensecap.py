"""The uplinks of SenseCAP S210x sensors: groups of channel, measurement id and value, then a checksum. No I/O.

Sources: SenseCAP S210X user guide 9.2 and 9.3; Seeed's list of measurement ids; TheThingsNetwork/lorawan-devices,
sensecap210x-common-decoder.js. The checksum (CRC-16/KERMIT in the examples that fit) is not checked, as the maker's own
decoder does not: the radio's integrity code covers every byte, and the guide's S2105 example carries a wrong one.
"""

import struct

from drivers.decoders.payload import JsonValue, PayloadMalformed

# channel, measurement id, value
_GROUP = struct.Struct("<BHi")
_CHECKSUM_LENGTH = 2
# From here up a group is a measurement, in thousandths of the id's unit.
_MEASUREMENT_ID_MIN = 0x1001
_BATTERY_ID = 0x0007


def sensecap_fields(payload: bytes) -> dict[str, JsonValue]:
    """Decode an uplink: values by measurement id ("4102"), those of a second probe by channel and id ("2:4102").

    "battery" is in per cent. Groups that tell versions and names say nothing. Raises PayloadMalformed.
    """
    groups = payload[:-_CHECKSUM_LENGTH]
    if not groups or len(groups) % _GROUP.size:
        raise PayloadMalformed(
            f"a SenseCAP uplink is groups of {_GROUP.size} bytes and a checksum of {_CHECKSUM_LENGTH};"
            f" this one has {len(payload)} bytes"
        )
    fields: dict[str, JsonValue] = {}
    for channel, measurement_id, value in _GROUP.iter_unpack(groups):
        if measurement_id >= _MEASUREMENT_ID_MIN:
            name = str(measurement_id) if channel == 1 else f"{channel}:{measurement_id}"
            fields[name] = value / 1000
        elif measurement_id == _BATTERY_ID:
            # The lower half is the battery, the upper half the interval of uplinks in minutes.
            fields["battery"] = value & 0xFFFF
    return fields
