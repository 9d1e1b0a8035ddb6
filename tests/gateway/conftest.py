from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import edge.gateway.compose
import edge.gateway.connections
from edge.storage import writer
from fakes.event_store import FakeEventStore
from fakes.gateway_stage import Line, Run, Stage, Story, play
from fakes.whole_gateway import Drivers


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*lines: Line, story: Story, queue: writer.Intake | None = None) -> Stage:
        return play(tmp_path, *lines, story=story, monkeypatch=monkeypatch, intake=queue)

    return run


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Drivers:
    made = Drivers()
    monkeypatch.setattr(edge.gateway.connections, "driver_kind", made.kind)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    return made


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeEventStore:
    """Both clients of the gateway reach the same store."""
    fake = FakeEventStore()

    @asynccontextmanager
    async def open_fake(*_: object, **__: object) -> AsyncIterator[FakeEventStore]:
        yield fake

    monkeypatch.setattr(edge.gateway.compose, "open_event_store", open_fake)
    return fake
