"""MQTT devices behind a broker. Importing this loads no transport."""

from drivers.first_day import HooksIn
from drivers.mqtt import first_day
from drivers.mqtt.options import MqttConnectionOptions, MqttDeviceOptions, MqttPointOptions
from drivers.mqtt.site_check import cautions, mistakes
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings

# A device that reports every five minutes, the default of most, has missed two reports.
MAX_SILENCE_S = 600.0


def create(connection: ConnectionSettings, context: DriverContext) -> Driver:
    """Make the driver of one connection."""
    from drivers.mqtt.driver import MqttDriver  # noqa: PLC0415 - a gateway without MQTT never loads paho

    return MqttDriver(connection, context)


_HOOKS = HooksIn("drivers.mqtt")

KIND = DriverKind(
    name="mqtt",
    title="MQTT devices behind a broker",
    connection_options=MqttConnectionOptions,
    device_options=MqttDeviceOptions,
    point_options=MqttPointOptions,
    create=create,
    mistakes=mistakes,
    cautions=cautions,
    max_silence_s=MAX_SILENCE_S,
    # On which topic a device speaks does not matter to what it says.
    stand_ins={"topic": "device"},
    visiting=first_day.visiting,
    scan=_HOOKS.scan,
    decode=_HOOKS.decode,
    first_day=first_day.FIRST_DAY,
    simulate=_HOOKS.simulate,
)
