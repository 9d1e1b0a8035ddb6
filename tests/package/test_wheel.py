"""The wheel, in an environment that holds nothing else: whatever the product reads at run time must be in it."""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.package, pytest.mark.timeout(600), pytest.mark.xdist_group("package")]


def done(arguments: Sequence[str | Path], directory: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    environment["XDG_RUNTIME_DIR"] = str(directory)
    finished = subprocess.run(
        list(map(str, arguments)), cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, f"{arguments}: {finished.stdout[-2000:]}{finished.stderr[-2000:]}"
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    done([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", directory, ROOT], directory)
    (built,) = directory.glob("greenhouse_edge-*.whl")
    return built


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/", maxsplit=1)[0].split("-", maxsplit=1)[0] for name in names} == {
        "edge",
        "drivers",
        "greenhouse_edge",
    }
    for needed in (
        "edge/storage/migrations/0001_initial.sql",
        "drivers/profiles/xy-md02.toml",
        "drivers/simulation/demo.toml",
        "edge/testing/conformance.py",
        "edge/contract/CONTRACT.md",
        "edge/contract/asyncapi.json",
        "edge/contract/stories/run-change.ndjson",
    ):
        assert needed in names


def test_every_verb_that_needs_no_daemon_works_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python, command = environment / "bin" / "python", environment / "bin" / "greenhouse-edge"
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    probe = subprocess.run(
        [*map(str, pip), "--require-hashes", "-r", str(ROOT / "requirements.lock")],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode != 0 and "CI" not in os.environ:
        pytest.skip(f"the package index cannot be reached: {probe.stderr[-300:]}")
    assert probe.returncode == 0, probe.stderr
    done([*pip, "--no-deps", wheel], tmp_path)
    assert done([command, "--version"], tmp_path).startswith("greenhouse-edge ")
    assert '"$schema"' in done([command, "schema"], tmp_path)
    done([command, "contract", "--out", "contract"], tmp_path)
    assert (tmp_path / "contract" / "CONTRACT.md").read_bytes() == (ROOT / "CONTRACT.md").read_bytes()
    for written in ("asyncapi.json", "read_model.py", "stories/run-change.expected.json"):
        assert (tmp_path / "contract" / written).is_file()
    (tmp_path / "site.toml").write_text((ROOT / "config" / "demo.toml").read_text(encoding="utf-8"))
    assert "no mistakes" in done([command, "check", "site.toml"], tmp_path)
    shown = done([command, "demo", "--seconds", "15"], tmp_path)
    assert "bench3-climate" in shown
    assert "answering" in shown
