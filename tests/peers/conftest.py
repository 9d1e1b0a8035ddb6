from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.libmodbus_server import compile_server
from fakes.socat import Cable, cable


@pytest.fixture(scope="session")
def libmodbus_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_server(tmp_path_factory.mktemp("libmodbus"))


@pytest.fixture
def adapter(tmp_path: Path) -> Iterator[Cable]:
    with cable(tmp_path) as joined:
        yield joined
