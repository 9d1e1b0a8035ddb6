"""From the text of a site file to an open driver, as the daemon does it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import drivers
from edge.domain.driver import DriverContext, PolledDriver
from edge.domain.settings import Settings
from edge.settings.site import load_settings

HEAD = """\
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
"""


def loaded(folder: Path, connections: str) -> Settings:
    """Read the connections of a site file."""
    file = folder / "site.toml"
    file.write_text(HEAD + connections, encoding="utf-8")
    return load_settings(file)


@asynccontextmanager
async def opened(settings: Settings, *, index: int = 0) -> AsyncIterator[PolledDriver]:
    """Open the driver of one of a site's connections."""
    connection = settings.connections[index]
    driver = drivers.driver_kind(connection.driver).create(connection, DriverContext(folder=settings.file.parent))
    assert isinstance(driver, PolledDriver)
    async with driver.open():
        yield driver


def read_only(point_id: str, keys: str) -> str:
    """A point that no event shows: so it needs no quantity."""
    return f"[connection.device.point.{point_id}]\npublish = false\n{keys}\n"
