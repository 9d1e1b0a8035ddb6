"""From what was found on a connection to its part of the first site file. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drivers.modbus.options import ModbusConnectionOptions
from drivers.mqtt.device import Message
from drivers.mqtt.options import MqttConnectionOptions, MqttDeviceOptions
from drivers.serial.options import SerialConnectionOptions
from edge.cli.commission.draft import DraftConnection, DraftDevice, TomlValue
from edge.cli.commission.fit import Fit
from edge.cli.commission.fit_topics import Speaker, speakers
from edge.cli.commission.grouping import Kin, group_id, kinships
from edge.domain.device_group import identifier_part
from edge.domain.identifier import IDENTIFIER_LENGTH_MAX, is_identifier
from edge.domain.settings import DeviceSettings

# More would be no help to anybody.
ALTERNATIVES_MAX = 3
# The bridge itself speaks below the same topic as its devices.
ZIGBEE2MQTT = "zigbee2mqtt"

_SERIAL_EXAMPLE: Mapping[str, TomlValue] = {"id": "tank-ph", "profile": "ezo-ph"}
_SDI12_EXAMPLE: dict[str, TomlValue] = {"id": "row1-slab", "profile": "meter-teros-12"}

# Asks a person which profile it is, best first; returns None for none of them.
Choose = Callable[[str, Sequence[Fit]], Fit | None]


@dataclass(frozen=True, kw_only=True)
class UnitFound:
    """A Modbus unit that answers."""

    unit: int
    answer: str
    # Profiles that fit it, best first.
    fits: Sequence[Fit] = ()


@dataclass(frozen=True, kw_only=True)
class PortFound:
    """What is at a serial port."""

    # Profiles that understand it, best first.
    fits: Sequence[Fit] = ()
    # What it said, shortened; empty = nothing.
    words: str = ""
    # Of an SDI-12 sensor.
    address: str = ""


def best(_what: str, fits: Sequence[Fit]) -> Fit | None:
    """Take the first: nobody is there to be asked."""
    return fits[0] if fits else None


class Ids:
    """Gives each device of a site an id of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, *parts: str | int) -> str:
        """Return an id made of these parts."""
        name = identifier_part("-".join(map(str, parts)))[: IDENTIFIER_LENGTH_MAX - 4].strip("-_")
        name = name if is_identifier(name) else "device"
        numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(self._taken) + 2))
        found = next(candidate for candidate in numbered if candidate not in self._taken)
        self._taken.add(found)
        return found


def modbus_draft(
    connection_id: str, options: ModbusConnectionOptions, found: Sequence[UnitFound], *, ids: Ids, choose: Choose = best
) -> DraftConnection:
    """Draft a Modbus connection, with a device for each unit that some profile fits."""
    devices, comments = [], []
    for unit in found:
        fit = choose(f"unit {unit.unit}", unit.fits)
        if fit is None:
            why = "no profile was chosen" if unit.fits else "no profile of the package fits"
            comments.append(f"Unit {unit.unit} answered ({unit.answer}); {why}: see `greenhouse-edge probe`.")
            continue
        keys: dict[str, TomlValue] = {"id": ids.new(fit.profile, unit.unit), "profile": fit.profile}
        keys["address"] = unit.unit
        devices.append(DraftDevice(keys=keys, comments=_guessed(fit, unit.fits)))
    return DraftConnection(
        keys={"id": connection_id, "driver": "modbus", **_modbus_keys(options)},
        devices=devices,
        comments=comments,
        example={"id": "bench1-climate", "profile": "xy-md02", "address": 1},
    )


def _modbus_keys(options: ModbusConnectionOptions) -> Mapping[str, TomlValue]:
    if options.transport == "serial":
        return {"transport": "serial", **_line_keys(options)}
    keys: dict[str, TomlValue] = {} if options.transport == "tcp" else {"transport": options.transport}
    return {**keys, "host": options.host, "tcp_port": options.tcp_port}


def _line_keys(options: ModbusConnectionOptions | SerialConnectionOptions) -> Mapping[str, TomlValue]:
    return {"serial_port": options.serial_port, "baud_rate": options.baud_rate, "format": options.format}


def port_draft(
    connection_id: str, options: SerialConnectionOptions, found: PortFound, *, ids: Ids, choose: Choose = best
) -> DraftConnection:
    """Draft a serial port, with its device if some profile understands it."""
    fit = choose(options.serial_port, found.fits) if found.fits else None
    devices = []
    if fit is not None:
        keys = {"id": ids.new(fit.profile), "profile": fit.profile}
        comments = _guessed(fit, found.fits) if fit.evidence else [f"guessed: it says {found.words}"]
        devices.append(DraftDevice(keys=keys, comments=comments))
    heard = [f"It said: {found.words}"] if found.words and fit is None else []
    return DraftConnection(
        keys={"id": connection_id, "driver": "serial", **_line_keys(options)},
        devices=devices,
        comments=heard,
        example=_SDI12_EXAMPLE | {"address": found.address} if found.address else _SERIAL_EXAMPLE,
    )


def broker_draft(
    connection_id: str,
    options: MqttConnectionOptions,
    messages: Sequence[Message],
    *,
    models: Sequence[DeviceSettings],
    time_zone: str,
    ids: Ids,
) -> DraftConnection:
    """Draft a broker, with the devices that were heard; those of one kind as a group."""
    found = speakers(messages, models, time_zone=time_zone)
    by_profile = {model.id: model for model in models}
    devices = [
        _group(item, by_profile[item.profile], ids) if isinstance(item, Kin) else _speaker(item, ids)
        for item in kinships(found, models)
    ]
    unknown = {message.topic for message in messages} - {topic for speaker in found for topic in speaker.topics}
    keys: dict[str, TomlValue] = {"id": connection_id, "driver": "mqtt", "url": options.url}
    if options.credential is not None:
        keys["credential"] = options.credential
    return DraftConnection(
        keys=keys,
        devices=devices,
        comments=[f"Topics that no profile of the package understands: {len(unknown)}."] if unknown else [],
        example={"id": "bench1-climate", "profile": "zigbee2mqtt-climate", "topic": "zigbee2mqtt/bench1"},
    )


def _speaker(speaker: Speaker, ids: Ids) -> DraftDevice:
    name = speaker.topic.removesuffix("/up").rpartition("/")[2]
    keys = {"id": ids.new(name or speaker.profile), "profile": speaker.profile, "topic": speaker.topic}
    return DraftDevice(keys=keys, comments=_guessed(speaker.fit, [speaker.fit]))


def _group(kin: Kin, model: DeviceSettings, ids: Ids) -> DraftDevice:
    template = group_id(kin)
    for name in kin.names:
        ids.new(template.replace("{name}", identifier_part(name)))
    keys: dict[str, TomlValue] = {"id": template, "profile": kin.profile, "topic": kin.topic}
    root = kin.topic.partition("/{name")[0]
    assert isinstance(model.options, MqttDeviceOptions)
    if model.options.envelope == ZIGBEE2MQTT and root != kin.topic:
        keys["except"] = [f"{root}/bridge/#", f"{root}/+/availability"]
    keys["names"] = kin.names
    comment = f"guessed: {len(kin.names)} devices of one kind. What else comes on such topics is listed as seen."
    return DraftDevice(keys=keys, comments=[comment], is_group=True)


def _guessed(fit: Fit, fits: Sequence[Fit]) -> list[str]:
    others = [other.profile for other in fits if other is not fit][:ALTERNATIVES_MAX]
    also = f" Also possible: {', '.join(others)}." if others else ""
    return [f"guessed: {fit.evidence} of {fit.points} points give plausible values.{also}"]
