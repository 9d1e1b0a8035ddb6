"""A simulated serial port: a pseudo-terminal behind a name that stays, also when it is unplugged.

The near end is the program's that opens the name; we are at the far end. A pseudo-terminal has no speed, no parity and
no modem lines; bytes arrive at once.
"""

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from drivers.simulation.line import BEAT_S, Speaker, Utterance

READ_MAX = 4096


class LinkTaken(OSError):  # noqa: N818 - as the errors of domain/driver.py
    """The port's name cannot be made there. Remedy: another folder, or remove what has the name."""


class PtyLine:
    """One port, and the speaker at its far end."""

    def __init__(self, link: Path, speaker: Speaker) -> None:
        self.link = link
        self._speaker = speaker
        self._loop = asyncio.get_running_loop()
        self._far: int | None = None
        self._near: int | None = None
        self._later: set[asyncio.TimerHandle] = set()

    def plug(self) -> None:
        """Make the port appear under its name. Raises LinkTaken."""
        assert self._far is None
        self._far, self._near = os.openpty()
        # We keep the near end open, too: so its settings stay raw, and a program that closes it is no hang-up for us.
        tty.setraw(self._near)
        os.set_blocking(self._far, False)
        try:
            _point(self.link, os.ttyname(self._near))
        except OSError as error:
            self.unplug()
            raise LinkTaken(f"cannot make the port {self.link}: {error.strerror or error}") from error
        self._loop.add_reader(self._far, self._read)

    def unplug(self) -> None:
        """Let the port disappear, as a pulled adapter does: a process that has it open gets a hang-up."""
        for timer in self._later:
            timer.cancel()
        self._later.clear()
        if self._far is None or self._near is None:
            return
        self._loop.remove_reader(self._far)
        with suppress(OSError):
            if self.link.readlink() == Path(os.ttyname(self._near)):
                self.link.unlink()
        os.close(self._far)
        os.close(self._near)
        self._far = self._near = None

    def say(self, utterances: Sequence[Utterance]) -> None:
        """Put words on the line, one after the other."""
        after_s = 0.0
        now_s = self._loop.time()
        self._later = {timer for timer in self._later if timer.when() > now_s}
        for utterance in utterances:
            after_s += utterance.after_s
            if after_s > 0:
                self._later.add(self._loop.call_later(after_s, self._write, utterance.data))
            else:
                self._write(utterance.data)

    async def run(self) -> None:
        """Send what the speaker sends unasked, until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.say(self._speaker.beat(self._loop.time()))

    def _read(self) -> None:
        assert self._far is not None
        try:
            data = os.read(self._far, READ_MAX)
        except (BlockingIOError, InterruptedError):
            return
        self.say(self._speaker.heard(data, self._loop.time()))

    def _write(self, data: bytes) -> None:
        if self._far is None or self._near is None:
            return
        try:
            written = os.write(self._far, data)
        except BlockingIOError:
            written = 0
        if written < len(data):
            # The port is not open. A wire keeps nothing: a process that opens it later hears only what is sent then.
            termios.tcflush(self._near, termios.TCIFLUSH)


@asynccontextmanager
async def open_line(link: Path, speaker: Speaker) -> AsyncIterator[PtyLine]:
    """Make a port that lives for the length of the context. Raises LinkTaken."""
    line = PtyLine(link, speaker)
    line.plug()
    task = asyncio.create_task(line.run(), name=f"line {link.name}")
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.wait([task])
        line.unplug()


def _point(link: Path, device: str) -> None:
    """Make the link, in place of one that an earlier run has left; nothing else is replaced."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    link.symlink_to(device)
