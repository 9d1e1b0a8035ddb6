"""A site of simulated devices: air temperature and humidity each, as the commonest sensor of a greenhouse has them."""

from dataclasses import dataclass
from pathlib import Path

# No store listens there: forwarding is not measured.
NOWHERE = "esdb://127.0.0.1:9?tls=false"

# What each site of the bench begins with.
SITE = """\
[site]
id = "bench"
name = "Bench greenhouse"

[event_store]
uri = "{uri}"
"""

_CONNECTION = """
[[connection]]
id = "line"
driver = "simulated"
poll_interval_s = {poll_interval_s}
"""

_DEVICE = """
  [[connection.device]]
  id = "climate-{number}"
    [connection.device.point.air_temperature]
    quantity = "air_temperature"
    start = {air_temperature}
    step = 0.1
    low = 12
    high = 34
    decimals = 1
    [connection.device.point.relative_humidity]
    quantity = "relative_humidity"
    start = {relative_humidity}
    step = 0.4
    low = 35
    high = 98
    decimals = 1
"""


def _device(number: int) -> str:
    # Spread over a greenhouse's usual values: equal ones would compress too well.
    return _DEVICE.format(
        number=number, air_temperature=16 + number * 37 % 120 / 10, relative_humidity=50 + number * 73 % 400 / 10
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSite:
    """So many devices, each asked so often."""

    devices: int
    poll_interval_s: float = 1.0
    uri: str = NOWHERE

    def text(self) -> str:
        """Return the site file."""
        head = SITE.format(uri=self.uri) + _CONNECTION.format(poll_interval_s=self.poll_interval_s)
        return head + "".join(_device(number) for number in range(1, self.devices + 1))

    def write(self, directory: Path) -> Path:
        """Write the site file into a directory."""
        file = directory / "site.toml"
        file.write_text(self.text(), encoding="utf-8")
        return file
