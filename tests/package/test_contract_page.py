"""CONTRACT.md, taken at its word: what it prints is run as it is printed, against a real store and a real daemon."""

import ast
import asyncio
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState

from edge.contract.asyncapi import channels
from edge.contract.published import page, printed, published
from edge.contract.registry import schemas
from edge.event_store.embedded.server import serve
from fakes.contract_page import lay_out, open_view, view_of
from fakes.site_processes import WAIT_S, Site, open_empty_site

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("contract-page")]

LINES_MAX = {"read_model.py": 60, "producer.py": 40}
TAKEN = re.compile("SensorReadingReceived|ReadingsDropped|EventQuarantined|Device.*|Alarm.*")
SITE = """\
[site]
id = "north-1"
[event_store]
uri = "{uri}"
[outbox]
commit_interval_ms = 50
[[connection]]
id = "line"
driver = "simulated"
poll_interval_s = 0.2
[[connection.device]]
id = "bench1"
remote = {{ poll_interval_s = {{ min = 0.1, max = 60 }} }}
[connection.device.point.air_temperature]
[[connection.device]]
id = "bench2"
[connection.device.point.air_temperature]
"""


def code_lines(text: str) -> int:
    """Lines that are neither blank, comment, docstring nor import."""
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(number not in left_out and bool(line.strip()) and line.strip()[0] != "#" for number, line in lines)


def test_the_programs_are_as_short_as_the_page_says() -> None:
    for name, most in LINES_MAX.items():
        assert 0 < code_lines(printed(page())[name]) <= most


def test_what_is_printed_is_formatted_and_complete(tmp_path: Path) -> None:
    lay_out(tmp_path)
    programs = sorted(tmp_path.glob("*.py"))
    assert [each.name for each in programs] == ["grant.py", "producer.py", "read_model.py"]
    words = ("-m", "ruff", "format", "--check", "--line-length", "120", "--isolated")
    done = subprocess.run([sys.executable, *words, *programs], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_page_names_every_stream_and_every_file() -> None:
    text = page()
    for channel in channels():
        assert f"`{channel.address.format(gatewayId='GATEWAY', deviceId='DEVICE')}`" in text
    table = text[: text.index("## Streams")]
    for name in published():
        kind = re.sub(
            r"^schemas/Metadata|^schemas/\w+", "schemas/TYPE", re.sub(r"^examples/\w+", "examples/TYPE", name)
        )
        kind = re.sub(r"^stories/[\w-]+", "NAME" if "expected" in name else "stories/NAME", kind)
        assert f"`{kind}`" in table or name == "CONTRACT.md", name


def test_the_printed_event_keeps_its_schema() -> None:
    (data,) = re.findall(r"^```json\n(\{\n  \"siteId\".*?)^```$", page(), re.MULTILINE | re.DOTALL)
    schema = schemas()["SensorReadingReceived.v1.json"]
    jsonschema.Draft202012Validator(schema).validate(json.loads(data))


@dataclass(kw_only=True)
class House:
    """A site, and the printed programs beside it."""

    site: Site
    # Of the read model; empty while it does not run.
    running: list[subprocess.Popen[bytes]]

    @property
    def uri(self) -> str:
        return self.site.event_store_uri

    @property
    def view_file(self) -> Path:
        return self.site.directory / "view.sqlite"

    def program(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.site.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, self.site.directory / name, *arguments], stdout=subprocess.PIPE, stderr=log
            )

    def read(self, file: Path | None = None) -> None:
        self.running.append(self.program("read_model.py", self.uri, str(file or self.view_file)))

    def kill_reader(self) -> None:
        reader = self.running.pop()
        reader.kill()
        reader.communicate()

    def seen(self, file: Path | None = None) -> int:
        """How many events the read model has taken; 0 while it has no table."""
        with closing(sqlite3.connect(file or self.view_file)) as database, suppress(sqlite3.OperationalError):
            count: int = database.execute("SELECT count(*) FROM seen").fetchone()[0]
            return count
        return 0

    def wait_for_more(self) -> None:
        """Let the read model take some events."""
        before = self.seen()
        self.site.wait_until(lambda: self.seen() >= before + 4, "the read model to take some events")

    def there(self) -> dict[str, dict[str, Any]]:
        """What stands in the store that a read model takes, by id."""
        return {event["id"]: event for event in self.site.events() if TAKEN.fullmatch(event["type"])}

    def view(self, file: Path) -> dict[str, list[dict[str, Any]]]:
        with closing(open_view(file)) as database:
            return view_of(database)


@pytest.fixture
def house() -> Iterator[House]:
    with open_empty_site() as site:
        site.site_file.write_text(SITE.format(uri=site.event_store_uri), encoding="utf-8")
        lay_out(site.directory)
        site.start("event-store")
        tail = ("events", "tail", "--uri", site.event_store_uri)
        site.wait_until(lambda: site.verb(*tail, check=False).returncode == 0, "the store")
        house = House(site=site, running=[])
        try:
            yield house
        finally:
            while house.running:
                house.kill_reader()


def stop(house: House) -> None:
    """End the daemon once all that it recorded is in the store."""
    house.site.wait_until(lambda: house.site.store_state() == "forwarding", "the store to be reached")
    house.site.wait_until(lambda: house.site.pending() == 0, "the backlog to drain")
    assert house.site.end("run") == 0


@pytest.mark.system
def test_the_read_model_has_no_gap_and_no_double_however_it_and_the_others_are_killed(house: House) -> None:
    site = house.site
    for _ in range(2):
        site.start("run")
        for _ in range(3):
            house.read()
            house.wait_for_more()
            house.kill_reader()
        house.read()
        house.wait_for_more()
        assert site.end("run", signal.SIGKILL) == -signal.SIGKILL
    assert site.end("event-store", signal.SIGKILL) == -signal.SIGKILL
    backup = site.directory / "backup"
    shutil.copytree(site.directory / "store", backup)
    site.start("event-store")
    site.start("run")
    house.wait_for_more()
    # The store is put back to what it was: the gateway sends again, and the read model finds its place gone.
    assert site.end("event-store", signal.SIGKILL) == -signal.SIGKILL
    shutil.rmtree(site.directory / "store")
    backup.rename(site.directory / "store")
    site.start("event-store")
    house.wait_for_more()
    stop(house)
    there = house.there()
    site.wait_until(lambda: house.seen() >= len(there), "the read model to catch up")
    rebuilt = site.directory / "rebuilt.sqlite"
    house.read(rebuilt)
    site.wait_until(lambda: house.seen(rebuilt) == len(there), "the second read model to catch up")
    view = house.view(house.view_file)
    assert view == house.view(rebuilt)
    assert (view["gaps"], view["standing"], view["declared"]) == ([], [], [])
    samples = [event for event in there.values() if event["type"] == "SensorReadingReceived"]
    taken = Counter((row["device"], row["run"], row["sequence"]) for row in view["samples"])
    assert taken == Counter((e["data"]["deviceId"], e["metadata"]["run"], e["data"]["sequence"]) for e in samples)
    assert len({run for _, run, _ in taken}) == 3


@pytest.mark.system
def test_a_restored_store_is_noticed_though_the_newest_event_stands_where_it_stood(house: House) -> None:
    def told(stream: str) -> NewEvent:
        event = NewEvent(type="DeviceRetired", data=b'{"gatewayId":"g","deviceId":"d"}', metadata=b"{}")
        with EventStoreDBClient(house.uri) as client:
            client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=[event])
        return event

    site = house.site
    told("gateway-a")
    newest = told("gateway-b")
    house.read()
    site.wait_until(lambda: house.seen() == 2, "the read model to take both")
    house.kill_reader()
    assert site.end("event-store", signal.SIGKILL) == -signal.SIGKILL
    shutil.rmtree(site.directory / "store")
    site.start("event-store")
    # As many events before the newest one, and one of them is new.
    told("gateway-c")
    with EventStoreDBClient(house.uri) as client:
        client.append_to_stream("gateway-b", current_version=StreamState.NO_STREAM, events=[newest])
    house.read()
    site.wait_until(lambda: house.seen() == 3, "the read model to take what is new")


@pytest.mark.system
def test_what_others_write_into_the_streams_ends_no_read_model(house: House) -> None:
    client = EventStoreDBClient(house.uri)
    junk = (b"{}", b"[]", b"\xff", b"null", b'{"deviceId": {}, "readings": 5}', b'{"sequence": 1e400}', b"[" * 5000)
    types = (
        "SensorReadingReceived",
        "AlarmRaised",
        "DeviceDescribed",
        "EventQuarantined",
        "DeviceConfigurationUpdated",
    )
    events = [NewEvent(type=name, data=data, metadata=data) for name in types for data in junk]
    client.append_to_stream("gateway-north-1", current_version=StreamState.NO_STREAM, events=events)
    house.read()
    house.site.wait_until(lambda: house.seen() == len(events), "the read model to pass over all")
    assert house.running[0].poll() is None
    view = house.view(house.view_file)
    assert (view["samples"], view["latest"], view["devices"], view["standing"]) == ([], [], [], [])
    client.close()


def outcome(producer: subprocess.Popen[bytes]) -> tuple[str, int]:
    told, _ = producer.communicate(timeout=WAIT_S)
    return told.decode().split(" ", 1)[0], producer.returncode


@pytest.mark.system
def test_producers_that_race_are_all_answered_once_and_none_overwrites_another(house: House) -> None:
    house.site.start("run")
    house.site.wait_until(lambda: house.site.store_state() == "forwarding", "the store to be reached")
    producers = [house.program("producer.py", house.uri, "north-1", "bench1", f"0.{tenths}") for tenths in (2, 3, 4, 5)]
    outcomes = Counter(outcome(producer) for producer in producers)
    assert (
        outcomes.total() == outcomes["DeviceConfigurationApplied", 0] + outcomes["DeviceConfigurationRejected", 0] == 4
    )
    events = house.site.events()
    updates = [event for event in events if event["type"] == "DeviceConfigurationUpdated"]
    assert [each["data"]["configVersion"] for each in updates] == [1, 2, 3, 4]
    answers = [each["data"] for each in events if "updateEventId" in each["data"]]
    assert Counter(each["updateEventId"] for each in answers) == Counter(each["id"] for each in updates)
    codes = {error["code"] for answer in answers for error in answer.get("errors", [])}
    # Who follows an update that is not answered yet may be based on one that is superseded, and no worse happens.
    assert codes <= {"superseded"}
    assert outcome(house.program("producer.py", house.uri, "north-1", "bench1", "99")) == (
        "DeviceConfigurationRejected",
        0,
    )
    assert outcome(house.program("producer.py", house.uri, "north-1", "bench1", "7")) == (
        "DeviceConfigurationApplied",
        0,
    )
    assert house.site.end("run") == 0


@pytest.mark.system
def test_what_is_asked_while_the_gateway_is_offline_is_answered_when_it_is_back(house: House) -> None:
    producer = house.program("producer.py", house.uri, "north-1", "bench1", "0.5")
    house.site.wait_until(lambda: len(house.there()) == 1, "the update")
    assert producer.poll() is None
    house.site.start("run")
    assert outcome(producer) == ("DeviceConfigurationApplied", 0)


@pytest.mark.system
def test_a_producer_passes_over_what_is_no_update(house: House) -> None:
    client = EventStoreDBClient(house.uri)
    junk = (b"{}", b"[]", b"\xff", b'{"deviceId": "bench1", "configVersion": "x"}')
    events = [NewEvent(id=uuid4(), type="DeviceConfigurationUpdated", data=data) for data in junk]
    client.append_to_stream("deviceConfiguration-north-1", current_version=StreamState.NO_STREAM, events=events)
    client.close()
    house.site.start("run")
    producer = house.program("producer.py", house.uri, "north-1", "bench1", "0.5")
    assert outcome(producer) == ("DeviceConfigurationApplied", 0)


async def test_the_rights_are_set_with_the_names_that_are_given(tmp_path: Path) -> None:
    lay_out(tmp_path)
    names = {
        "GATEWAY": "north-1",
        "DEVICE": "bench1",
        "GATEWAY-USER": "gw",
        "CONSUMER": "reports",
        "PRODUCER": "agronomy",
    }
    async with serve(("127.0.0.1", 0), None) as store:
        words = [sys.executable, str(tmp_path / "grant.py"), store.uri, *(f"{k}={v}" for k, v in names.items())]
        program = await asyncio.create_subprocess_exec(*words, stderr=subprocess.PIPE)
        _, failed = await program.communicate()
        assert program.returncode == 0, failed.decode()
        client = EventStoreDBClient(store.uri)
        found = await asyncio.to_thread(client.get_stream_metadata, "sensorReadings-north-1.bench1")
        asked = await asyncio.to_thread(client.get_stream_metadata, "deviceConfiguration-north-1")
        client.close()
    assert found[0] == {"$acl": {"$r": ["gw", "reports", "$admins"], "$w": ["gw", "$admins"]}}
    assert asked[0] == {"$acl": {"$r": ["gw", "reports", "agronomy", "$admins"], "$w": ["agronomy", "$admins"]}}


def test_the_rights_name_every_stream_that_there_is() -> None:
    rights = json.loads(printed(page())["rights.json"])
    assert set(rights["streams"]) == {
        each.address.format(gatewayId="GATEWAY", deviceId="DEVICE") for each in channels()
    }
    for stream, metadata in rights["streams"].items():
        writers = set(metadata["$acl"]["$w"]) - {"$admins"}
        assert writers == ({"PRODUCER"} if stream.startswith("deviceConfiguration-") else {"GATEWAY-USER"})
        assert "GATEWAY-USER" in metadata["$acl"]["$r"]
