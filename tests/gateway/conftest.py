from pathlib import Path

import pytest

from edge.storage import writer
from fakes.gateway_stage import Line, Run, Stage, Story, play


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*lines: Line, story: Story, queue: writer.Intake | None = None) -> Stage:
        return play(tmp_path, *lines, story=story, monkeypatch=monkeypatch, intake=queue)

    return run
