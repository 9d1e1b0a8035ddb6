import asyncio
import json
import os
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from edge.control.client import DaemonAmbiguous, DaemonNotFound, DaemonRefused, DaemonSilent, ask, find_daemon
from edge.control.places import (
    DaemonNote,
    RuntimeDirectoryUnusable,
    default_state_directory,
    make_runtime_directory,
    running_daemons,
    runtime_directory,
    socket_name,
    write_note,
)
from edge.control.server import (
    CONNECTIONS_MAX,
    REQUEST_BYTES_MAX,
    TURN_BYTES,
    Operation,
    RequestMistaken,
    serve_control,
)
from edge.domain.event import Json
from edge.operate.status import json_pieces


@pytest.fixture(autouse=True)
def private_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not tmp_path: a socket's address must be short.
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield make_runtime_directory()


def note_of(gateway_id: str, *, pid: int | None = None) -> DaemonNote:
    state = Path("/nowhere") / gateway_id
    return DaemonNote(
        gateway_id=gateway_id,
        site_file=f"{gateway_id}.toml",
        state_directory=str(state),
        pid=os.getpid() if pid is None else pid,
        socket=str(runtime_directory() / f"{socket_name(state)}.sock"),
    )


async def status(_arguments: Mapping[str, Json]) -> Json:
    return {"state": "forwarding"}


async def echo(arguments: Mapping[str, Json]) -> Json:
    if "devices" not in arguments:
        raise RequestMistaken("devices is missing")
    return arguments


class Busy:
    """An operation that never comes to an end by itself."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self, _arguments: Mapping[str, Json]) -> Json:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return None


@asynccontextmanager
async def daemon(gateway_id: str, **more: Operation) -> AsyncIterator[DaemonNote]:
    note = note_of(gateway_id)
    operations = {"status": status, "echo": echo, **more}
    async with serve_control(Path(note.socket), operations, json_pieces=json_pieces):
        write_note(note)
        yield note


async def test_the_only_daemon_running_is_found_and_answers() -> None:
    async with daemon("north-1") as note:
        assert find_daemon() == note
        assert await asyncio.to_thread(ask, note, "status") == {"state": "forwarding"}
        assert Path(note.socket).stat().st_mode & 0o777 == 0o660


async def test_arguments_reach_the_daemon() -> None:
    async with daemon("north-1") as note:
        said = await asyncio.to_thread(ask, note, "echo", arguments={"devices": ["a"]})
        assert said == {"devices": ["a"]}


async def test_of_several_daemons_one_must_be_named() -> None:
    async with daemon("north-1") as north, daemon("south-1") as south:
        with pytest.raises(DaemonAmbiguous, match=r"(?s)north-1: north-1.toml.*south-1"):
            find_daemon()
        assert find_daemon(gateway_id="south-1") == south
        assert find_daemon(state_directory=Path("/nowhere/north-1")) == north


async def test_a_stopped_daemon_is_not_found() -> None:
    async with daemon("north-1"):
        pass
    with pytest.raises(DaemonNotFound, match="no daemon is running"):
        find_daemon()
    with pytest.raises(DaemonNotFound, match="for north-1"):
        find_daemon(gateway_id="north-1")


def test_the_note_of_a_killed_daemon_is_passed_over() -> None:
    finished = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(finished, 0)
    note = note_of("north-1", pid=finished)
    write_note(note)
    Path(note.socket).touch()
    assert running_daemons() == []


@pytest.mark.parametrize("text", ["{", "[]", '{"gateway_id": 1}', '"\\ud800"'])
def test_a_file_that_is_no_note_is_passed_over(text: str) -> None:
    (runtime_directory() / "other.json").write_text(text)
    assert running_daemons() == []


async def test_the_socket_left_by_a_killed_daemon_does_not_stop_the_next() -> None:
    note = note_of("north-1")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(note.socket)
    async with daemon("north-1"):
        assert await asyncio.to_thread(ask, note, "status") == {"state": "forwarding"}


@pytest.mark.parametrize(
    ("request_line", "said"),
    [
        (b"status\n", "not JSON"),
        (b'{"operation": "explode"}\n', "known are echo, status"),
        (b'{"operation": ["status"]}\n', "unknown operation"),
        (b'{"operation": "echo", "arguments": 1}\n', "must be an object"),
        (b'{"operation": "echo"}\n', "devices is missing"),
        (b"[" * 4000 + b"\n", "not JSON"),
        (b"\n", "not JSON"),
    ],
)
async def test_a_request_that_is_none_is_told_so(request_line: bytes, said: str) -> None:
    async with daemon("north-1") as note:
        reader, writer = await asyncio.open_unix_connection(note.socket)
        writer.write(request_line)
        assert said in json.loads(await reader.readline())["error"]
        writer.close()


async def test_a_request_without_end_is_cut_off_and_others_are_answered() -> None:
    async with daemon("north-1") as note:
        reader, writer = await asyncio.open_unix_connection(note.socket)
        writer.write(b"x" * (REQUEST_BYTES_MAX * 4))
        with suppress(ConnectionResetError):  # what was left unread makes the close a reset
            assert await reader.read() == b""
        writer.close()
        assert await asyncio.to_thread(ask, note, "status") == {"state": "forwarding"}


async def test_a_refusal_is_no_silence() -> None:
    async with daemon("north-1") as note:
        with pytest.raises(DaemonRefused, match="north-1 refused: devices is missing"):
            await asyncio.to_thread(ask, note, "echo")


async def test_a_stop_waits_for_no_client_idle_or_busy_or_deaf() -> None:
    busy = Busy()
    large = "x" * 8_000_000  # more than the buffers of both ends hold

    async def talk(_arguments: Mapping[str, Json]) -> Json:
        return large

    # Real time, and only a bound: where a stop waits for its clients, it waits for ten seconds and more.
    async with asyncio.timeout(5):
        async with daemon("north-1", busy=busy, talk=talk) as note:
            idle = await asyncio.open_unix_connection(note.socket)
            asking = await asyncio.open_unix_connection(note.socket)
            deaf = await asyncio.open_unix_connection(note.socket)
            asking[1].write(b'{"operation": "busy"}\n')
            deaf[1].write(b'{"operation": "talk"}\n')
            await busy.began.wait()
            await deaf[0].readexactly(1)
    assert busy.was_cancelled
    assert not Path(note.socket).exists()
    for reader, writer in (idle, asking):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    deaf[1].transport.abort()


async def test_a_bug_in_an_operation_ends_the_daemon_instead_of_failing_unseen() -> None:
    async def broken(_arguments: Mapping[str, Json]) -> Json:
        raise KeyError("a bug")

    async def serve() -> None:
        async with daemon("north-1", broken=broken) as note:
            _, writer = await asyncio.open_unix_connection(note.socket)
            writer.write(b'{"operation": "broken"}\n')
            try:
                await asyncio.Event().wait()
            finally:
                writer.transport.abort()

    with pytest.raises(ExceptionGroup) as caught:
        await serve()
    assert caught.group_contains(KeyError)


async def test_more_clients_than_there_are_people_are_turned_away_and_later_ones_are_answered() -> None:
    async with daemon("north-1") as note:
        held = [await asyncio.open_unix_connection(note.socket) for _ in range(CONNECTIONS_MAX)]
        reader, writer = await asyncio.open_unix_connection(note.socket)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        for _, one in [*held, (reader, writer)]:
            one.close()
            await one.wait_closed()
        assert await asyncio.to_thread(ask, note, "status") == {"state": "forwarding"}


async def test_others_run_while_a_long_answer_is_written() -> None:
    turns = 0

    async def long(_arguments: Mapping[str, Json]) -> Json:
        return {"fleet": {"devices": [{"deviceId": f"bench{number}", "name": "n" * 500} for number in range(1000)]}}

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with daemon("north-1", long=long) as note:
        reader, writer = await asyncio.open_unix_connection(note.socket, limit=1 << 24)
        writer.write(b'{"operation": "long"}\n')
        counting = asyncio.create_task(count_turns())
        line = await reader.readline()
        counting.cancel()
        writer.close()
    answer = json.loads(line)["answer"]
    assert [device["deviceId"] for device in answer["fleet"]["devices"]] == [f"bench{number}" for number in range(1000)]
    assert turns >= len(line) // TURN_BYTES


async def test_a_path_that_is_not_utf8_keeps_no_answer_back() -> None:
    async def odd(_arguments: Mapping[str, Json]) -> Json:
        return {"siteFile": "/site-\udcff.toml"}

    async with daemon("north-1", odd=odd) as note:
        assert await asyncio.to_thread(ask, note, "odd") == {"siteFile": "/site-\udcff.toml"}


def test_a_daemon_that_hangs_up_is_reported() -> None:
    note = note_of("north-1")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(note.socket)
        listening.listen()

        def hang_up() -> None:
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(DaemonSilent, match="north-1"):
            ask(note, "status")
        thread.join()


def test_a_directory_that_another_user_made_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(RuntimeDirectoryUnusable, match="belongs to another user; remove it, or name another one in"):
        make_runtime_directory()


def test_a_directory_that_cannot_be_made_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, private_runtime_directory: Path
) -> None:
    # Short, or another directory would be taken in its place.
    file = private_runtime_directory / "file"
    file.touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(file))
    with pytest.raises(RuntimeDirectoryUnusable, match="Not a directory"):
        make_runtime_directory()


def test_directories_follow_systemd_then_the_session_then_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/greenhouse-edge/north-1:/other")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/greenhouse-edge/north-1")
    assert default_state_directory("north-1") == Path("/var/lib/greenhouse-edge/north-1")
    assert runtime_directory() == Path("/run/greenhouse-edge/north-1")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_state_directory("north-1") == tmp_path / ".local/state/greenhouse-edge/north-1"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_directory().name == f"greenhouse-edge-{os.getuid()}"


def test_a_directory_too_long_for_a_sockets_address_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/" + "x" * 80)
    assert runtime_directory().name == f"greenhouse-edge-{os.getuid()}"
