from pathlib import Path

import pytest

from edge.cli.commission import answers


def test_the_machines_time_zone_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "localtime"
    monkeypatch.setattr(answers, "LOCAL_TIME", link)
    assert answers.local_time_zone() == "UTC"
    for target, zone in (("Europe/Amsterdam", "Europe/Amsterdam"), ("Etc/UTC", "UTC"), ("No/Where", "UTC")):
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/share/zoneinfo/{target}")
        assert answers.local_time_zone() == zone


@pytest.mark.parametrize(("name", "site_id"), [("North House", "north-house"), ("°", ""), ("x" * 100, "x" * 64)])
def test_an_id_is_suggested_from_a_name(name: str, site_id: str) -> None:
    assert answers.suggested_id(name) == site_id
