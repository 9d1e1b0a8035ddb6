"""Settings of a connection to a broker, made without a site file."""

from collections.abc import Sequence

from drivers.mqtt.options import AvailabilityTopic, MqttConnectionOptions, MqttDeviceOptions, MqttPointOptions
from edge.domain.driver import DriverContext
from edge.domain.quantity import IDENTITY
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings, PointSettings

CONTEXT = DriverContext(gateway_id="house-1")


def device(
    device_id: str,
    topic: str,
    *,
    subscribe: Sequence[str] = ("{topic}",),
    availability: Sequence[str] = (),
    point: str = "temperature",
) -> DeviceSettings:
    """A device that says {"temperature": 21.5} on its topic."""
    point_options = MqttPointOptions()
    return DeviceSettings(
        id=device_id,
        points=(
            PointSettings(
                id=point,
                quantity=None,
                type=point_options.value_type,
                unit="Cel",
                conversion=IDENTITY,
                options=point_options,
            ),
        ),
        poll_interval_s=10.0,
        max_silence_s=600.0,
        options=MqttDeviceOptions(
            topic=topic,
            subscribe=tuple(subscribe),
            availability=tuple(AvailabilityTopic(topic=each) for each in availability),
        ),
    )


def group(
    group_id: str,
    topic: str,
    *,
    names: Sequence[str] = (),
    devices_max: int = 0,
    exclude: Sequence[str] = (),
    subscribe: Sequence[str] = ("{topic}",),
    availability: Sequence[str] = (),
) -> DeviceGroup:
    """A group of such devices; it adopts if it may have any."""
    return DeviceGroup(
        template=device(group_id, topic, subscribe=subscribe, availability=availability),
        names=tuple(names),
        adopt=devices_max > 0,
        devices_max=devices_max,
        exclude=tuple(exclude),
    )


def connection(
    options: MqttConnectionOptions, *devices: DeviceSettings, groups: Sequence[DeviceGroup] = ()
) -> ConnectionSettings:
    return ConnectionSettings(id="broker", driver="mqtt", options=options, devices=devices, groups=tuple(groups))
