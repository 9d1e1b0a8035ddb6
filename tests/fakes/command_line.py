"""The command line in this process, as a person types it."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from edge.cli import greenhouse_edge

SITE_HEAD = """\
[site]
id = "test"
time_zone = "Europe/Amsterdam"
[event_store]
uri = "esdb://127.0.0.1:2999?tls=false"
"""


def typed(*arguments: object) -> Result:
    """Run a verb; what it raises beyond its exit code is a failure of the test."""
    return CliRunner().invoke(greenhouse_edge, list(map(str, arguments)), catch_exceptions=False)


def told(*arguments: object, code: int = 0) -> Any:
    """Run a verb with --json and return what it printed."""
    result = typed(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def readings(*arguments: object) -> dict[str, dict[str, Any]]:
    """Return the readings that `decode` gives."""
    found: dict[str, dict[str, Any]] = told("decode", *arguments)["readings"]
    return found


def site_file(folder: Path, connections: str) -> Path:
    """Write a site file."""
    file = folder / "site.toml"
    file.write_text(SITE_HEAD + connections, encoding="utf-8")
    return file
