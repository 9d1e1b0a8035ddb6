"""The simulated port, opened as any program would."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from drivers.simulation import pty_line
from drivers.simulation.line import Utterance
from drivers.simulation.pty_line import LinkTaken, PtyLine, open_line


class Parrot:
    """Says back what it hears, and a word each beat."""

    def __init__(self, *, word: bytes = b"", after_s: float = 0.0) -> None:
        self.word = word
        self.after_s = after_s

    def heard(self, data: bytes, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002
        return [Utterance(data[:2]), Utterance(data[2:], self.after_s)]

    def beat(self, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002
        return [Utterance(self.word)]


class Opened:
    """The near end of a port, read without blocking."""

    def __init__(self, link: Path) -> None:
        self.fd = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.data = b""
        self.is_hung_up = False
        self._arrived = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            data = b""
        self.data += data
        self.is_hung_up = not data
        self._arrived.set()
        if not data:
            asyncio.get_running_loop().remove_reader(self.fd)

    async def until(self, wanted: bytes) -> None:
        async with asyncio.timeout(10):
            while wanted not in self.data and not self.is_hung_up:
                self._arrived.clear()
                await self._arrived.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)


async def test_bytes_go_both_ways_as_they_are(tmp_path: Path) -> None:
    data = bytes(range(256))
    async with open_line(tmp_path / "wire", Parrot()) as line:
        near = Opened(line.link)
        os.write(near.fd, data)
        await near.until(data)
        assert near.data == data
        near.close()


async def test_a_port_lives_on_when_it_is_closed_and_opened_again(tmp_path: Path) -> None:
    async with open_line(tmp_path / "wire", Parrot(after_s=0.01)) as line:
        for word in (b"first", b"second"):
            near = Opened(line.link)
            os.write(near.fd, word)
            await near.until(word)
            near.close()


async def test_who_has_an_unplugged_port_open_is_hung_up_and_finds_it_again_under_its_name(tmp_path: Path) -> None:
    async with open_line(tmp_path / "wire", Parrot()) as line:
        near = Opened(line.link)
        line.unplug()
        assert not line.link.is_symlink()
        await near.until(b"never")
        assert near.is_hung_up
        near.close()
        line.plug()
        again = Opened(line.link)
        os.write(again.fd, b"hello")
        await again.until(b"hello")
        again.close()


async def test_what_is_said_unasked_and_heard_by_nobody_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pty_line, "BEAT_S", 0.001)
    parrot = Parrot(word=b"old " * 1000)
    async with open_line(tmp_path / "wire", parrot) as line:
        before = line.link.readlink()
        # More than a pseudo-terminal holds.
        for _ in range(100):
            line.say(parrot.beat(0.0))
        parrot.word = b"new "
        near = Opened(line.link)
        await near.until(b"new " * 3)
        assert len(near.data) < 100_000
        assert line.link.readlink() == before
        near.close()


async def test_the_name_goes_with_the_line_and_a_left_over_one_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "folder" / "wire"
    link.parent.mkdir()
    link.symlink_to("/dev/pts/nobody")
    async with open_line(link, Parrot()) as line:
        assert line.link.readlink() != Path("/dev/pts/nobody")
        assert line.link.exists()
    assert not link.is_symlink()


async def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "wire").write_text("mine")
    with pytest.raises(LinkTaken, match="wire"):
        PtyLine(tmp_path / "wire", Parrot()).plug()
    assert (tmp_path / "wire").read_text() == "mine"
