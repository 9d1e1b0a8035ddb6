"""MQTT devices behind a broker. Importing this loads no transport."""

from drivers.mqtt.options import MqttConnectionOptions, MqttDeviceOptions, MqttPointOptions
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings


def create(connection: ConnectionSettings, context: DriverContext) -> Driver:
    """Make the driver of one connection."""
    raise NotImplementedError


KIND = DriverKind(
    name="mqtt",
    title="MQTT devices behind a broker",
    connection_options=MqttConnectionOptions,
    device_options=MqttDeviceOptions,
    point_options=MqttPointOptions,
    create=create,
)
