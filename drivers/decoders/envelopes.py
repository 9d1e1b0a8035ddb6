"""Opens the envelopes that network servers and firmwares put around values, and gives all the same names. No I/O.

An envelope tells where the values stand (`body`), where the message's own time and identity stand (`head`), and in
which units the device was set to speak.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from drivers.decoders.json_path import JsonPath, parse_path
from drivers.decoders.payload import JsonValue, PayloadMalformed, kind_of
from drivers.decoders.payload_time import TimeField
from drivers.decoders.units import unknown

EnvelopeName: TypeAlias = Literal["none", "tasmota", "zigbee2mqtt", "the-things-stack", "chirpstack", "shelly-rpc"]
JsonObject: TypeAlias = dict[str, JsonValue]

_NO_UNITS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The contents of one message."""

    # Where time and identity stand.
    head: JsonValue
    # Where the values stand; None if the message has none.
    body: JsonValue
    # The device's own bytes, as the radio brought them; None if the message has none.
    frame: bytes | None = None
    # Canonical unit -> the unit (UCUM) that the device was set to.
    units: Mapping[str, str] = field(default_factory=lambda: _NO_UNITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One kind of envelope."""

    # Takes a message's object and the last level of its topic; None = it says nothing of the device's values.
    open: Callable[[JsonObject, str], Opened | None]
    # The first of these that says a time holds.
    times: tuple[TimeField, ...] = ()
    # The first must be there; of a later one zero may have been left out.
    identity: tuple[JsonPath, ...] = ()


# Tasmota's names of the units a user can choose (TempUnit, PressureUnit).
_TASMOTA_UNITS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "TempUnit": ("Cel", {"C": "Cel", "F": "[degF]"}),
    "PressureUnit": ("hPa", {"hPa": "hPa", "mmHg": "mm[Hg]", "inHg": "[in_i'Hg]"}),
}


def _tasmota(document: JsonObject, _level: str) -> Opened:
    """Open a SENSOR or STATE message, or the reply to `Status 8`, `10` or `11`, which wraps the same once more."""
    wrapped = document.get("StatusSNS", document.get("StatusSTS"))
    body = wrapped if isinstance(wrapped, dict) else document
    units = {}
    for key, (canonical, known) in _TASMOTA_UNITS.items():
        name = body.get(key)
        if name is not None:
            # A unit that we do not know is not the profile's: no value can be converted from it.
            units[canonical] = known.get(name, unknown(name)) if isinstance(name, str) else unknown(kind_of(name))
    return Opened(head=body, body=body, units=units)


def _zigbee2mqtt(document: JsonObject, _level: str) -> Opened:
    """Open a device's state. What the device has not yet said since it joined is null there: it says nothing."""
    body: JsonObject = {key: value for key, value in document.items() if value is not None}
    return Opened(head=body, body=body)


def _the_things_stack(document: JsonObject, _level: str) -> Opened | None:
    """Open an uplink; joins, acknowledgements and uplinks without a payload say nothing.

    The Things Stack leaves out fields that are zero, false or empty: what is absent is absent, not zero. Where a zero
    must arrive, let the gateway decode the bytes (payload = "milesight-tlv").
    """
    uplink = document.get("uplink_message")
    if not isinstance(uplink, dict):
        return None
    decoded = uplink.get("decoded_payload")
    frame = _bytes(uplink.get("frm_payload"), "uplink_message.frm_payload")
    return Opened(head=document, body=decoded if isinstance(decoded, dict) else None, frame=frame)


def _chirpstack(document: JsonObject, _level: str) -> Opened | None:
    """Open an uplink of ChirpStack 4 (event/up): `object` where its codec decoded, `data` as the radio brought it."""
    decoded = document.get("object")
    frame = _bytes(document.get("data"), "data")
    return Opened(head=document, body=decoded if isinstance(decoded, dict) else None, frame=frame)


def _shelly_rpc(document: JsonObject, level: str) -> Opened | None:
    """Open a notification (events/rpc) or a component's status (status/switch:0): both become {"switch:0": {…}}.

    A notification holds only what has changed; a reading is made of that and nothing else. Events (buttons) and
    replies to requests say nothing.
    """
    method = document.get("method")
    body: JsonObject
    if method in ("NotifyStatus", "NotifyFullStatus"):
        params = document.get("params")
        body = params if isinstance(params, dict) else {}
    elif method is not None or level == "rpc":
        return None
    else:
        body = {level: document}
    return Opened(head=body, body={key: _without_idle_battery(value) for key, value in body.items()})


def _without_idle_battery(component: JsonValue) -> JsonValue:
    """Leave out the battery of a device that hangs on a cable: it says 0 % and means that there is none."""
    if not isinstance(component, dict):
        return component
    external = component.get("external")
    if not isinstance(external, dict) or external.get("present") is not True:
        return component
    return {key: value for key, value in component.items() if key != "battery"}


def _bytes(text: JsonValue, name: str) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise PayloadMalformed(f"{name} is {kind_of(text)}, not base64 text")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise PayloadMalformed(f"{name} is no base64") from error


def _time(path: str, form: Literal["iso", "epoch_s", "epoch_ms"]) -> TimeField:
    return TimeField(path=parse_path(path), format=form)


def open_envelope(name: EnvelopeName, document: JsonValue, level: str) -> Opened | None:
    """Open a message's envelope. `level` is the last level of its topic.

    None = it says nothing of the device's values. Raises PayloadMalformed for what is no such envelope.
    """
    if name == "none" and isinstance(document, list):
        return Opened(head=document, body=document)
    if not isinstance(document, dict):
        raise PayloadMalformed(f"the payload is {kind_of(document)}, not a JSON object")
    return ENVELOPES[name].open(document, level)


ENVELOPES: Mapping[EnvelopeName, Envelope] = {
    "none": Envelope(open=lambda document, _level: Opened(head=document, body=document)),
    # Local time without a zone unless the device was told otherwise.
    "tasmota": Envelope(open=_tasmota, times=(_time("Time", "iso"), _time("Epoch", "epoch_s"))),
    # advanced.last_seen: "ISO_8601", "ISO_8601_local" or "epoch".
    "zigbee2mqtt": Envelope(open=_zigbee2mqtt, times=(_time("last_seen", "iso"), _time("last_seen", "epoch_ms"))),
    "the-things-stack": Envelope(
        open=_the_things_stack,
        times=(_time("uplink_message.received_at", "iso"), _time("received_at", "iso")),
        identity=(parse_path("uplink_message.session_key_id"), parse_path("uplink_message.f_cnt")),
    ),
    "chirpstack": Envelope(open=_chirpstack, times=(_time("time", "iso"),), identity=(parse_path("deduplicationId"),)),
    "shelly-rpc": Envelope(open=_shelly_rpc, times=(_time("ts", "epoch_s"),)),
}
