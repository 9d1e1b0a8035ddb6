import subprocess
import sys
from pathlib import Path

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
