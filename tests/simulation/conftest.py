import random
from pathlib import Path

import pytest

from fakes.forwarding_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(directory=tmp_path / "state", rng=random.Random(7))
