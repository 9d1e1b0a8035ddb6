"""Instruments at the far end of a pseudo-terminal. They answer late, twice, or not at all, and can be unplugged."""

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reply:
    data: bytes
    after_s: float = 0.0


# From one request, its end included, to what is sent back and when.
Behaviour = Callable[[bytes], Sequence[Reply]]


def silent(_request: bytes) -> Sequence[Reply]:
    return ()


class SerialPeer:
    """One end of a pseudo-terminal; the driver opens the other by a link, as it would in /dev/serial/by-id."""

    def __init__(self, link: Path, behave: Behaviour, *, end: bytes = b"\r") -> None:
        self.link = link
        self.behave = behave
        self.requests: list[bytes] = []
        self.is_echoing = False
        self._end = end
        self._count = 0
        self._heard = asyncio.Event()
        self._received = b""
        self._ends: tuple[int, int] | None = None

    def plug(self) -> None:
        """Appear as a new device under the old name, as an adapter does in another socket."""
        assert self._ends is None
        self._ends = ours, theirs = pty.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(theirs))
        self._received = b""
        asyncio.get_running_loop().add_reader(ours, self._read, ours)

    @property
    def is_plugged(self) -> bool:
        return self._ends is not None

    def unplug(self) -> None:
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
            for end in self._ends:
                os.close(end)
            self._ends = None
            self.link.unlink()

    def say(self, data: bytes) -> None:
        """Send without being asked; lost where nobody is plugged in or the line is full, as on a wire."""
        if self._ends is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._ends[0], data)

    async def pour(self, data: bytes) -> None:
        """Send all of it, as fast as the line takes it."""
        assert self._ends is not None
        loop, fd, left = asyncio.get_running_loop(), self._ends[0], memoryview(data)
        while left:
            free = asyncio.Event()
            loop.add_writer(fd, free.set)
            await free.wait()
            loop.remove_writer(fd)
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(fd, left) :]

    async def hear(self, count: int) -> None:
        """Wait until so many bytes have come in all."""
        async with asyncio.timeout(10):
            while self._count < count:
                self._heard.clear()
                await self._heard.wait()

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, 4096)
        except OSError:
            return
        self._count += len(data)
        self._heard.set()
        if self.is_echoing:
            self.say(data)
        *requests, self._received = (self._received + data).split(self._end)
        for request in requests:
            self._answer(request + self._end)

    def _answer(self, request: bytes) -> None:
        self.requests.append(request)
        for reply in self.behave(request):
            if reply.after_s:
                asyncio.get_running_loop().call_later(reply.after_s, self.say, reply.data)
            else:
                self.say(reply.data)


@contextmanager
def plugged(link: Path, behave: Behaviour = silent, *, end: bytes = b"\r") -> Iterator[SerialPeer]:
    """An instrument that is plugged in for the length of the context."""
    peer = SerialPeer(link, behave, end=end)
    peer.plug()
    try:
        yield peer
    finally:
        peer.unplug()


class Circuit:
    """An EZO circuit that measures one thing and knows what it was told."""

    def __init__(self, value: bytes = b"7.010") -> None:
        self.value = value
        self.is_continuous = True

    def __call__(self, request: bytes) -> Sequence[Reply]:
        command = request.strip().upper()
        if command == b"C,0":
            self.is_continuous = False
            return (Reply(b"*OK\r"),)
        if command.startswith(b"R"):
            return (Reply(self.value + b"\r"), Reply(b"*OK\r"))
        return (Reply(b"*ER\r"),)
