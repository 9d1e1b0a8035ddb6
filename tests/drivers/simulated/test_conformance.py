"""The simulated driver keeps the rules of every driver, polled and pushed."""

from collections.abc import Mapping

import drivers
from edge.domain.reading import Value
from edge.domain.settings import ConnectionSettings
from edge.testing.conformance import DriverConformance
from edge.testing.pushed import PushedDriverConformance
from edge.testing.site import connection_from
from edge.testing.writing import Writable, WritingDriverConformance

SITE = """
[[connection]]
id = "pretended"
driver = "simulated"
mode = "{mode}"
push_interval_ms = 1
[[connection.device]]
id = "warm"
[connection.device.point.air_temperature]
values = [30.0]
[connection.device.point.water_temperature]
unit = "K"
start = 290
low = 280
high = 300
step = 0
decimals = 4
[[connection.device]]
id = "cold"
[connection.device.point.air_temperature]
values = [5.0]
"""


class Simulated(DriverConformance):
    kind = drivers.driver_kind("simulated")
    mode: str

    def connection(self) -> ConnectionSettings:
        return connection_from(SITE.format(mode=self.mode))

    def truth(self, device_id: str) -> Mapping[str, Value]:
        return {"air_temperature": {"warm": 30.0, "cold": 5.0}[device_id]}


class TestPolled(Simulated, WritingDriverConformance):
    mode = "polled"

    def writable(self) -> Writable:
        return Writable(
            device_id="warm", point_id="water_temperature", taken=(15.0, 20.5), refused=(-20.0, 99.0, "warm", True)
        )


class TestPushed(Simulated, PushedDriverConformance):
    mode = "pushed"

    async def speak(self, device_id: str) -> None:
        """Its devices speak in turn, without being told."""

    def test_the_kind_says_after_which_silence_a_device_is_lost(self) -> None:
        """Its kind is polled; that it can push is for tests of ours."""
