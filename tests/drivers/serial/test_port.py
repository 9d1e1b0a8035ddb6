"""The adapter over pyserial, at real pseudo-terminals."""

import asyncio
import fcntl
import os
import pty
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.serial.port import (
    CHUNKS_MAX,
    INBOUND_MAX,
    PortOpening,
    SerialPort,
    _format,
    _keep_lines,
    _lower,
    open_port,
)
from edge.domain.driver import ConnectionLost
from edge.domain.serial_line import line_format
from fakes.held_openings import HeldOpenings
from fakes.serial_peer import SerialPeer, plugged
from fakes.serial_site import line_options


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[SerialPeer]:
    with plugged(tmp_path / "port") as made:
        yield made


@asynccontextmanager
async def opened(peer: SerialPeer, **options: object) -> AsyncIterator[SerialPort]:
    async with open_port(line_options(peer.link, **options), Path()) as port:
        yield port


async def received(port: SerialPort, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while len(data) < count:
            data += b"".join(chunk.data for chunk in port.take())
            if len(data) < count:
                await port.wait(asyncio.get_running_loop().time() + 5)
    return data


def open_descriptors() -> set[Path]:
    return {entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


async def test_bytes_go_and_come_as_they_are(peer: SerialPeer) -> None:
    every_byte = bytes(range(256))
    async with opened(peer) as port:
        peer.say(every_byte)
        assert await received(port, 256) == every_byte
        await port.send(every_byte)
        await peer.hear(256)
    assert peer.requests == [every_byte[:14]]


async def test_a_format_with_parity_is_left_out_on_a_pseudo_terminal(peer: SerialPeer) -> None:
    options = line_options(peer.link, format="7E1")
    assert _format(peer.link, options) == line_format("8N1")
    assert _format(Path("/dev/null"), options) == line_format("7E1")
    async with opened(peer, format="7E1") as port:
        peer.say(b"\xff")
        assert await received(port, 1) == b"\xff"


async def test_a_port_that_nobody_answers_at_is_waited_for_until_the_moment(peer: SerialPeer) -> None:
    async with opened(peer) as port:
        assert not await port.wait(asyncio.get_running_loop().time() + 0.01)
        assert port.take() == ()


async def test_a_pulled_plug_is_told_at_once_to_whoever_waits(peer: SerialPeer) -> None:
    async with opened(peer) as port:
        waiting = asyncio.ensure_future(port.wait(asyncio.get_running_loop().time() + 60))
        await asyncio.sleep(0)
        peer.unplug()
        async with asyncio.timeout(5):
            assert await waiting
        with pytest.raises(ConnectionLost, match="is gone"):
            port.take()
        with pytest.raises(ConnectionLost, match="is gone"):
            await port.send(b"R\r")


async def test_a_link_is_followed_anew_at_each_opening(peer: SerialPeer) -> None:
    async with opened(peer):
        first = peer.link.resolve()
        # Held, so that the next adapter gets another name.
        held = os.open(first, os.O_RDWR | os.O_NOCTTY)
        peer.unplug()
    peer.plug()
    os.close(held)
    async with opened(peer) as port:
        peer.say(b"here")
        assert await received(port, 4) == b"here"


async def test_a_port_in_use_is_named_so(peer: SerialPeer) -> None:
    async with opened(peer):
        with pytest.raises(ConnectionLost, match=r"port is in use by another process"):
            async with opened(peer):
                pass
    async with opened(peer):
        pass


async def test_what_is_no_port_is_told_in_a_sentence(tmp_path: Path) -> None:
    for name, sentence in (("absent", "is the adapter plugged in"), ("a-file", "cannot be opened")):
        (tmp_path / "a-file").touch()
        with pytest.raises(ConnectionLost, match=sentence):
            async with open_port(line_options(name), tmp_path):
                pass


async def test_bytes_that_nobody_fetches_are_bounded_and_the_newest_stay(peer: SerialPeer) -> None:
    async with opened(peer) as port:
        async with asyncio.timeout(10):
            await peer.pour(b"0123" * (INBOUND_MAX // 2) + b"end")
            while not port._chunks or not port._chunks[-1].data.endswith(b"end"):
                port._arrived.clear()
                await port._arrived.wait()
        chunks = port.take()
        assert sum(len(chunk.data) for chunk in chunks) <= INBOUND_MAX
        assert [chunk.is_torn for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
        peer.say(b"more")
        await received(port, 4)


async def test_bytes_that_come_one_by_one_are_bounded_as_well(peer: SerialPeer) -> None:
    async with opened(peer) as port:
        for _ in range(CHUNKS_MAX + 10):
            port._keep(b"x")
        assert len(port.take()) == CHUNKS_MAX


async def test_a_full_line_is_written_to_as_it_drains(peer: SerialPeer) -> None:
    data = b"0123456789abcde\r" * 8192
    async with opened(peer) as port:
        await port.send(data)
        await peer.hear(len(data))
    assert b"".join(peer.requests) == data


async def test_a_line_that_takes_nothing_is_given_up(peer: SerialPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.serial.port.SEND_TIMEOUT_S", 0.05)
    async with opened(peer) as port:
        assert peer._ends is not None
        asyncio.get_running_loop().remove_reader(peer._ends[0])
        with pytest.raises(ConnectionLost, match="takes no bytes"):
            await port.send(bytes(1024 * 1024))


async def test_closing_leaves_no_descriptor(peer: SerialPeer) -> None:
    before = open_descriptors()
    async with opened(peer, dtr=False, rts=False):
        pass
    assert open_descriptors() == before


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldOpenings]:
    with HeldOpenings.patched(monkeypatch) as made:
        yield made


async def test_an_opening_that_nobody_waits_for_any_more_is_closed(
    peer: SerialPeer, held: HeldOpenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.serial.port.OPEN_TIMEOUT_S", 0.02)
    held.hold(str(peer.link))
    with pytest.raises(ConnectionLost, match="could not be opened within"):
        async with opened(peer):
            pass
    held.release()
    await held.closed(str(peer.link))


async def test_a_port_that_hangs_is_not_opened_a_second_time_beside_it(
    peer: SerialPeer, held: HeldOpenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.hold(str(peer.link))
    opening = PortOpening()
    with monkeypatch.context() as hasty:
        hasty.setattr("drivers.serial.port.OPEN_TIMEOUT_S", 0.02)
        for _ in range(5):
            with pytest.raises(ConnectionLost, match="could not be opened within"):
                async with open_port(line_options(peer.link), Path(), opening):
                    pass
    assert held.openings == 1
    held.release()
    async with open_port(line_options(peer.link), Path(), opening) as port:
        peer.say(b"here")
        assert await received(port, 4) == b"here"
    await held.closed(str(peer.link))


@pytest.fixture
def terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_wrong_parity_is_looked_for_only_where_there_is_parity(terminal: int) -> None:
    for checks_parity in (False, True):
        _keep_lines(terminal, checks_parity=checks_parity)
        assert bool(termios.tcgetattr(terminal)[0] & termios.INPCK) is checks_parity


def test_closing_changes_no_line(terminal: int) -> None:
    attributes = termios.tcgetattr(terminal)
    attributes[2] |= termios.HUPCL
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    _keep_lines(terminal, checks_parity=False)
    assert not termios.tcgetattr(terminal)[2] & termios.HUPCL


def test_both_lines_are_lowered_by_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda *arguments: calls.append(arguments))
    _lower(7, 0)
    _lower(7, termios.TIOCM_DTR | termios.TIOCM_RTS)
    assert calls == [(7, termios.TIOCMBIC, b"\x06\0\0\0")]
