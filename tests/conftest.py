from collections.abc import Iterator

import hypothesis
import pytest
import structlog

# On a busy machine an example may take any time.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A verb that ran in this process has set up the logs; the next test must not inherit their level."""
    yield
    structlog.reset_defaults()
