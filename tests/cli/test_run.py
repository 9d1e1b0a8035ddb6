import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from edge.storage.errors import DatabaseDamaged, StateDirectoryLost, StorageError

SITE = """\
[site]
id = "a"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "broker"
driver = "mqtt"
url = "mqtt://127.0.0.1:1883"
credential = "broker-password"
[[connection.device]]
id = "d"
topic = "d"
point.ph = {}
"""


def test_a_credential_that_a_connection_names_and_nobody_brought_is_told_at_start(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(SITE, encoding="utf-8")
    places = ("--state-dir", str(tmp_path / "state"), "--credentials-dir", str(tmp_path / "credentials"))
    done = subprocess.run(
        [sys.executable, "-m", "edge", "run", str(file), *places],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 78
    assert f"{file}: connection 'broker': credential 'broker-password' was not found in" in done.stderr
    assert str(tmp_path / "credentials" / "broker-password") in done.stderr
    # Before anything was opened.
    assert not (tmp_path / "state").exists()


SIMULATED = """\
[site]
id = "a"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "c"
driver = "simulated"
[[connection.device]]
id = "d"
point.air_temperature = {}
"""


@pytest.fixture(autouse=True)
def logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb would configure them for the whole test process."""
    monkeypatch.setattr("edge.operate.logs.configure_logs", lambda **_: None)


@pytest.mark.parametrize(
    ("error", "code"), [(DatabaseDamaged("disk image is malformed"), 1), (StateDirectoryLost("was deleted"), 75)]
)
def test_what_is_wrong_with_the_file_while_the_daemon_runs_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: StorageError, code: int
) -> None:
    # The package's attribute of that name is the verb.
    run = import_module("edge.cli.run")

    async def serve(*_: object) -> None:
        # As the parents of the writer raise it.
        raise ExceptionGroup("tasks", [ExceptionGroup("components", [error])])

    monkeypatch.setattr(run, "_serve", serve)
    file = tmp_path / "site.toml"
    file.write_text(SIMULATED, encoding="utf-8")
    with pytest.raises(SystemExit) as ending:
        run.run.main([str(file), "--state-dir", str(tmp_path / "state")], standalone_mode=False)
    assert ending.value.code == code
    assert capsys.readouterr().err == f"{error}\n"


def test_an_error_beside_it_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = import_module("edge.cli.run")

    async def serve(*_: object) -> None:
        raise ExceptionGroup("tasks", [DatabaseDamaged("disk image is malformed"), ZeroDivisionError()])

    monkeypatch.setattr(run, "_serve", serve)
    file = tmp_path / "site.toml"
    file.write_text(SIMULATED, encoding="utf-8")
    with pytest.raises(ExceptionGroup):
        run.run.main([str(file), "--state-dir", str(tmp_path / "state")], standalone_mode=False)
