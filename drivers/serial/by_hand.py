"""What the bytes of one answer say, without a port: for the verb `decode`, and for a person with a manual in hand."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from drivers.decoders.ezo import CODES
from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.line_frames import excerpt, text_of_line
from drivers.decoders.sdi12 import ANY_ADDRESS
from drivers.serial.decoders import create_decoder, is_positional
from drivers.serial.options import SerialDeviceOptions
from drivers.serial.points import DevicePoints
from edge.domain.by_hand import Given, Undecodable, bytes_of, line_of
from edge.domain.reading import Reading, Reason, Sample
from edge.domain.settings import DeviceSettings

_BINARY = frozenset({"mhz19", "plantower"})
# What asks an SDI-12 sensor for values: `0D0!`, `0R0!`, `0RC0!`.
_SDI12_REQUEST = re.compile(r"(?P<address>[0-9A-Za-z?])(?:D[0-9]|R(?P<checksum>C?)[0-9])!?")


def decode(device: DeviceSettings, given: Given) -> list[Sample]:
    """Decode a line, or a frame: what `decode` does. Raises Undecodable."""
    assert isinstance(device.options, SerialDeviceOptions)
    if given.line is not None:
        data = line_of(given.line, is_json=device.options.layout == "json")
    elif given.frame is not None:
        data = bytes_of(given.frame)
    else:
        raise Undecodable("a serial device's values come in a --line, or in a --frame")
    try:
        readings = decode_bytes(device, data, request=given.request or "")
    except FrameMalformed as error:
        raise Undecodable(str(error)) from error
    # A line that says nothing of a point is no fault of the device: the next one may.
    told = {point_id: reading for point_id, reading in readings.items() if reading.reason is not Reason.COMM_ERROR}
    return [Sample(device_id=device.id, readings=told)] if told else []


def decode_bytes(device: DeviceSettings, data: bytes, *, request: str = "") -> Mapping[str, Reading]:
    """Return the readings of what a device sent: one answer, or several frames that make one sample together.

    The end of the last line may be missing. `request` is what was asked of an SDI-12 sensor (`1D0!`); without, any
    address is taken. Raises FrameMalformed, saying what is wrong: with the checksum, the text, the address, or that
    there is no whole frame, no value, or fewer than the device has.
    """
    assert isinstance(device.options, SerialDeviceOptions)
    options = _asked(device.options, request)
    decoder = create_decoder(options)
    frames = list(decoder.feed(data))
    if options.decoder not in _BINARY:
        frames += decoder.feed(options.terminator.encode() + b"\r\n")
    if not frames:
        raise FrameMalformed(f"there is no whole frame in these {len(data)} bytes")
    fields: dict[str, Field] = {}
    for frame in frames:
        fields |= decoder.fields(frame)
    points = DevicePoints(device)
    missing = points.wanted - fields.keys()
    if not fields.keys() & points.wanted:
        raise FrameMalformed(_nothing(frames, fields, missing))
    if missing and is_positional(options):
        raise FrameMalformed(
            f"{_quoted(frames[-1])} holds {len(fields)} values; there is none with number {_list(missing)}"
        )
    return points.readings(fields)


def _asked(options: SerialDeviceOptions, request: str) -> SerialDeviceOptions:
    """Return the options with the address and checksum that the request asked for."""
    if options.decoder != "sdi12":
        return options
    if not request:
        return replace(options, address=ANY_ADDRESS, command="M")
    match = _SDI12_REQUEST.fullmatch(request.strip())
    if match is None:
        raise FrameMalformed(f"{request!r} asks for no values; that would be like 0D0! or 0R0!")
    return replace(options, address=match["address"], command=f"R{match['checksum'] or ''}0")


def _nothing(frames: Sequence[bytes], fields: Mapping[str, Field], missing: frozenset[str]) -> str:
    if fields:
        return f"{_quoted(frames[-1])} holds {_list(fields)}, but none of the device's fields: {_list(missing)}"
    code = CODES.get(text_of_line(frames[-1]).upper())
    return f"{_quoted(frames[-1])} holds no value" + (f": {code}" if code else "")


def _quoted(frame: bytes) -> str:
    return excerpt(text_of_line(frame))


def _list(names: Mapping[str, Field] | frozenset[str]) -> str:
    return ", ".join(sorted(names))
