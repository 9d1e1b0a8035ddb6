"""The MQTT driver keeps the rules of every driver, with a real broker."""

from collections.abc import Mapping

import pytest

import drivers
from edge.domain.reading import Value
from edge.domain.settings import ConnectionSettings
from edge.testing.pushed import PushedDriverConformance
from edge.testing.site import connection_from
from fakes.mosquitto import Mosquitto
from fakes.mqtt_run import send

SITE = """
[[connection]]
id = "broker"
driver = "mqtt"
url = "{url}"
[[connection.device]]
id = "warm"
topic = "house/warm"
[connection.device.point.air_temperature]
[[connection.device]]
id = "cold"
topic = "house/cold"
[connection.device.point.air_temperature]
"""
SAID = {"warm": 30.0, "cold": 5.0}


class TestMqtt(PushedDriverConformance):
    kind = drivers.driver_kind("mqtt")

    @pytest.fixture(autouse=True)
    def house(self, broker: Mosquitto) -> None:
        self.broker = broker
        self.is_away = False

    def connection(self) -> ConnectionSettings:
        return connection_from(SITE.format(url=self.broker.url))

    def truth(self, device_id: str) -> Mapping[str, Value]:
        return {"air_temperature": SAID[device_id]}

    async def speak(self, device_id: str) -> None:
        await send(self.broker, f"house/{device_id}", f'{{"air_temperature": {SAID[device_id]}}}')

    async def babble(self, device_id: str) -> None:
        await send(self.broker, f"house/{device_id}", b'\xff{"air_temperature": ')

    async def cut(self) -> None:
        self.broker.kill()
        self.is_away = True

    async def mend(self) -> None:
        if self.is_away:
            self.broker.start()
            self.is_away = False
