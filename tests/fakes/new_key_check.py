"""Run in a copy of the source in which a switch of devices and a number of points were added to what can be set.

Prints what each room makes of them.
"""

import dataclasses
import json
import sys
from pathlib import Path
from uuid import uuid4

from drivers import driver_kinds
from edge.cli.configure import HELP
from edge.configure.announce import describe
from edge.configure.edit import parse_assignment
from edge.configure.judge import resolve
from edge.contract.registry import schemas
from edge.domain.configuration import changes, site_file_configuration
from edge.domain.json_form import json_of
from edge.domain.settings import DeviceSettings
from edge.settings.problems import ConfigurationInvalid
from edge.settings.schema import site_schema
from edge.settings.site import load_settings

SITE = """
[site]
id = "north"
[event_store]
uri = "esdb://nowhere:2113?tls=false"
[[connection]]
id = "line"
driver = "simulated"
  [[connection.device]]
  id = "bench"
  remote = { night_mode = true }
    [connection.device.point.air_temperature]
    hysteresis = 0.7
    remote = { hysteresis = { min = %s, max = 2 } }
"""


def loaded(directory: Path, lowest: float) -> DeviceSettings | str:
    """Read a site with these keys; what is wrong with it, if it is not taken."""
    file = directory / f"{uuid4()}.toml"
    file.write_text(SITE % lowest, encoding="utf-8")
    try:
        return load_settings(file).devices()[0]
    except ConfigurationInvalid as error:
        return str(error).split(": ", maxsplit=2)[-1].strip()


def main(directory: Path) -> None:
    device = loaded(directory, 0.1)
    assert isinstance(device, DeviceSettings), device
    point = {"points": {"air_temperature": {"hysteresis": 1.5}}}
    wrong = {"nightMode": 1, "points": {"air_temperature": {"hysteresis": 2.5}}}
    resolved = resolve({"nightMode": True, **point}, device)
    forbidden = dataclasses.replace(device, remote={})
    site = site_file_configuration(device)
    published = json.dumps(schemas()["DeviceConfigurationUpdated.v1.json"])
    described = json_of(describe(device, resolved.configuration, connection_id="line"))
    found = {
        "changed": [json_of(change) for change in changes(site, resolved.configuration)],
        "mistakes": [(mistake.path, mistake.code) for mistake in resolve(wrong, device).mistakes],
        "not permitted": [mistake.path for mistake in resolve({"nightMode": True}, forbidden).mistakes],
        "described": [described["settable"], described["points"]],
        "assigned": [parse_assignment(f"{path}=true", device)[1] for path in ("nightMode",)]
        + [parse_assignment("points.air_temperature.hysteresis=1", device)[1]],
        "help": [key in HELP for key in ("nightMode", ".hysteresis")],
        "published": [key in published for key in ("nightMode", "hysteresis")],
        "in the site's schema": "night_mode" in json.dumps(site_schema(driver_kinds())),
        "too low": loaded(directory, -1),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
