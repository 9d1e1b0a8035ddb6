import tomllib
from pathlib import Path

import pytest

from edge.cli.written_site import COPIED, ProfileInTheWay, earlier_ports, write_site
from edge.settings.profile_places import packaged_profiles
from edge.settings.site import load_settings

SITE = """\
[site]
id = "s"
[event_store]
uri = "esdb://h:1?tls=false"
ca_file = "ca.pem"
[[connection]]
id = "wire"
driver = "modbus"
host = "10.0.0.9"
[[connection.device]]
id = "a"
profile = "own-probe"
address = 3
[[connection.device]]
id = "b"
profile = "xy-md02"
"""


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "profiles").mkdir(parents=True)
    text = (packaged_profiles() / "xy-md02.toml").read_text(encoding="utf-8").replace('"xy-md02"', '"own-probe"')
    (folder / "profiles" / "own-probe.toml").write_text(text, encoding="utf-8")
    (folder / "site.toml").write_text(SITE, encoding="utf-8")
    return folder / "site.toml"


def write(site_file: Path, output: Path) -> None:
    write_site(output, load_settings(site_file), {"wire": {"host": "127.0.0.1", "tcp_port": 1502}})


def test_a_file_in_another_folder_finds_its_profiles_and_its_certificate(site_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "elsewhere" / "out.toml"
    write(site_file, output)
    first, second = load_settings(site_file), load_settings(output)
    assert [device.points for device in second.devices()] == [device.points for device in first.devices()]
    assert second.event_store.ca_file == first.event_store.ca_file
    # The packaged one is found anyway.
    assert [file.name for file in (output.parent / "profiles").iterdir()] == ["own-probe.toml"]
    assert earlier_ports(output, "127.0.0.1") == {"wire": 1502}


def test_a_file_in_the_same_folder_needs_no_copies(site_file: Path) -> None:
    before = sorted(site_file.parent.rglob("*"))
    write(site_file, site_file.with_name("out.toml"))
    assert sorted(site_file.parent.rglob("*")) == sorted([*before, site_file.with_name("out.toml")])


def test_a_profile_that_changed_is_copied_again(site_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "elsewhere" / "out.toml"
    write(site_file, output)
    profile = site_file.parent / "profiles" / "own-probe.toml"
    profile.write_text(profile.read_text(encoding="utf-8").replace("0.1", "0.01"), encoding="utf-8")
    write(site_file, output)
    copy = (output.parent / "profiles" / "own-probe.toml").read_text(encoding="utf-8")
    assert copy == COPIED + profile.read_text(encoding="utf-8")


def test_somebody_elses_profile_is_not_overwritten(site_file: Path, tmp_path: Path) -> None:
    mine = tmp_path / "elsewhere" / "profiles" / "own-probe.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine = true\n", encoding="utf-8")
    with pytest.raises(ProfileInTheWay, match=r"own-probe\.toml"):
        write(site_file, tmp_path / "elsewhere" / "out.toml")
    assert mine.read_text(encoding="utf-8") == "mine = true\n"
    assert not (tmp_path / "elsewhere" / "out.toml").exists()


@pytest.mark.parametrize(
    "text",
    ["", "connection = 3", "[[connection]]\nhost = 1", "[[connection]]\nid = 3\nurl = 'mqtt://h:x'", "connection = ["],
)
def test_a_file_that_is_not_ours_has_no_earlier_ports(text: str, tmp_path: Path) -> None:
    (tmp_path / "out.toml").write_text(text)
    assert earlier_ports(tmp_path / "out.toml", "127.0.0.1") == {}
    assert earlier_ports(tmp_path / "absent.toml", "127.0.0.1") == {}


def test_the_brokers_port_is_known_again(tmp_path: Path) -> None:
    text = (
        '[[connection]]\nid = "radio"\nurl = "mqtt://127.0.0.1:1999"\n[[connection]]\nid = "bus"\nserial_port = "/p"\n'
    )
    (tmp_path / "out.toml").write_text(text)
    assert tomllib.loads(text)
    assert earlier_ports(tmp_path / "out.toml", "127.0.0.1") == {"radio": 1999}
    assert earlier_ports(tmp_path / "out.toml", "0.0.0.0") == {}
