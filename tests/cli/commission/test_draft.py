import tempfile
import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.cli.commission.draft import DraftSite, site_text
from edge.domain.commissioning import DraftConnection, DraftDevice
from edge.domain.settings import Settings
from edge.settings.site import SiteReader, load_settings

ANY_TEXT = st.text(max_size=40)


def loaded(text: str) -> Settings:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.toml"
        file.write_text(text, encoding="utf-8")
        return load_settings(file)


def draft(*connections: DraftConnection, name: str = "North house") -> DraftSite:
    return DraftSite(
        site_id="north-1",
        name=name,
        time_zone="Europe/Amsterdam",
        uri="esdb://127.0.0.1:2113?tls=false",
        connections=connections,
    )


def broker(*devices: DraftDevice, comments: tuple[str, ...] = ()) -> DraftConnection:
    return DraftConnection(
        name="broker",
        keys={"id": "broker", "driver": "mqtt", "url": "mqtt://broker.local"},
        devices=devices,
        comments=comments,
        example={"id": "bench1", "profile": "json-climate", "topic": "bench1"},
    )


def test_a_draft_reads_as_a_person_would_have_written_it() -> None:
    group = DraftDevice(
        keys={"id": "bench-{name}", "profile": "json-climate", "topic": "bench/{name}", "names": ["1", "2"]},
        comments=["guessed: 2 devices of one kind."],
        is_group=True,
    )
    assert (
        site_text(draft(broker(group)))
        == """\
#:schema ./site.schema.json
# `greenhouse-edge check` says every mistake of this file, `greenhouse-edge read` reads the devices now.
# For an editor that completes keys: greenhouse-edge schema > site.schema.json

[site]
id = "north-1"
name = "North house"
time_zone = "Europe/Amsterdam"

[event_store]
# User and password never stand here: name a credential.
uri = "esdb://127.0.0.1:2113?tls=false"

[[connection]]
id = "broker"
driver = "mqtt"
url = "mqtt://broker.local"

  # guessed: 2 devices of one kind.
  [[connection.device_group]]
  id = "bench-{name}"
  profile = "json-climate"
  topic = "bench/{name}"
  names = ["1", "2"]
"""
    )


def test_a_connection_without_devices_has_an_example_that_is_right_once_it_is_no_comment() -> None:
    text = site_text(draft(broker()))
    assert not loaded(text).devices()
    begin = text.index("#   [[connection.device]]")
    (device,) = loaded(text[:begin] + text[begin:].replace("# ", "").replace("#\n", "\n")).devices()
    assert device.id == "bench1"


def test_a_draft_gives_no_mistakes_and_says_what_is_next(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(site_text(draft()), encoding="utf-8")
    reader = SiteReader(file)
    assert reader.read().site.name == "North house"
    assert [caution.message for caution in reader.cautions] == ["there is no device yet: nothing will be measured"]
    assert "[[connection]]" in site_text(draft())


def test_many_names_stand_one_below_the_other() -> None:
    names = [f"Bench {number}/a name of some length" for number in range(40)]
    group = DraftDevice(
        keys={"id": "z-{name}", "profile": "json-climate", "topic": "z/{name:any_depth}", "names": names}, is_group=True
    )
    text = site_text(draft(broker(group)))
    assert max(map(len, text.splitlines())) < 120
    assert len(loaded(text).devices()) == 40


@given(name=ANY_TEXT, comment=ANY_TEXT)
def test_any_words_stay_words(name: str, comment: str) -> None:
    keys = {"id": "one", "name": name, "profile": "json-climate", "topic": "bench/1"}
    connection = broker(DraftDevice(keys=keys, comments=[comment]), comments=(comment,))
    settings = loaded(site_text(draft(connection, name=name)))
    assert settings.site.name == name
    assert [device.name for device in settings.devices()] == [name]


@given(
    names=st.lists(
        st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="/+#{}"), min_size=1)
    )
)
def test_any_names_of_a_group_stay_names(names: list[str]) -> None:
    keys = {"id": "z-{name}", "profile": "json-climate", "topic": "z/{name}", "names": names}
    document = tomllib.loads(site_text(draft(broker(DraftDevice(keys=keys, is_group=True)))))
    assert document["connection"][0]["device_group"][0]["names"] == names


def test_a_character_that_toml_does_not_take_is_escaped() -> None:
    assert loaded(site_text(draft(name="a\x7fb\x00c"))).site.name == "a\x7fb\x00c"


def test_half_a_character_does_not_spoil_the_file() -> None:
    assert loaded(site_text(draft(name="Nor\udcffth"))).site.name == "Nor?th"
