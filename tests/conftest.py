from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A verb that ran in this process has set up the logs; the next test must not inherit their level."""
    yield
    structlog.reset_defaults()
