from collections.abc import Iterator

import pytest

from fakes.site_processes import Site, open_site


@pytest.fixture
def site() -> Iterator[Site]:
    """A site whose event store and simulated devices run; the test starts the daemon."""
    with open_site() as opened:
        opened.start("event-store")
        opened.start("simulate")
        opened.wait_until(opened.site_file.exists, "the simulated devices")
        yield opened
