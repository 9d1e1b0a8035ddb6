"""What a payload is before it means anything: bytes, text, JSON. Bounded in length and depth. No I/O."""

import json
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

# The largest uplinks of a network server, all their gateways listed, have about 10 KiB.
PAYLOAD_LENGTH_MAX = 65_536

# Firmware in C often sends the closing zero of its text along.
_AROUND = " \t\r\n\0"

_KINDS: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}


class PayloadMalformed(ValueError):  # noqa: N818 - the vocabulary's word
    """These bytes are no payload of the device; the message says what is wrong with them."""


def check_length(payload: bytes) -> None:
    """Raise PayloadMalformed for what no device of ours says in one message."""
    if len(payload) > PAYLOAD_LENGTH_MAX:
        raise PayloadMalformed(f"the payload has {len(payload)} bytes; more than {PAYLOAD_LENGTH_MAX} are not read")


def text_in(payload: bytes) -> str:
    """Return a payload as text, without blanks around it. Raises PayloadMalformed if it is no UTF-8."""
    check_length(payload)
    try:
        return payload.decode().strip(_AROUND)
    except UnicodeDecodeError as error:
        raise PayloadMalformed(f"byte {error.start + 1} of the payload is no UTF-8 text") from error


def json_in(payload: bytes) -> JsonValue:
    """Return what a JSON payload says. Raises PayloadMalformed if it is none.

    Of a key that is there twice the last value holds. NaN and Infinity, which JSON does not know and some firmware
    writes, say what null says: this one value is not there; the others of the message are not lost with it.
    """
    text = text_in(payload)
    try:
        document: JsonValue = _DECODER.decode(text)
    except RecursionError:
        raise PayloadMalformed("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise PayloadMalformed(f"the payload is no JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise PayloadMalformed("the JSON holds a number with too many digits") from error
    return document


def kind_of(value: JsonValue) -> str:
    """Say what a value is, for messages."""
    return "null" if value is None else _KINDS.get(type(value), "an object")


_DECODER = json.JSONDecoder(parse_constant=lambda _name: None)
