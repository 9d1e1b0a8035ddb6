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

from edge.control.client import DaemonAmbiguous, DaemonNotFound, DaemonSilent, ask, find_daemon
from edge.control.places import (
    DaemonNote,
    default_state_directory,
    make_runtime_directory,
    running_daemons,
    runtime_directory,
    socket_name,
    write_note,
)
from edge.control.server import REQUEST_BYTES_MAX, RequestMistaken, serve_control
from edge.domain.event import Json


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


@asynccontextmanager
async def daemon(gateway_id: str) -> AsyncIterator[DaemonNote]:
    note = note_of(gateway_id)
    async with serve_control(Path(note.socket), {"status": status, "echo": echo}):
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


def test_a_daemon_that_refuses_or_hangs_up_is_reported() -> None:
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
