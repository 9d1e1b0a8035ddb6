"""Wires by socat: a serial adapter that is pulled and plugged in as a test likes, and programs that use a port."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fakes.peers import peer

# Generous: two cores that others use, too.
WAIT_S = 20.0


class Wire:
    """What socat joins, as long as it runs."""

    def __init__(self, log: Path, ends: Sequence[str]) -> None:
        self._command = [peer("socat"), "-d", "-d", *ends]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run socat, and wait until it has joined both ends."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline_s = time.monotonic() + WAIT_S
        while "starting data transfer" not in (said := self._log.read_text()):
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline_s, said
            time.sleep(0.01)

    def end(self) -> None:
        """Part them again."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(WAIT_S)


class Cable:
    """A USB adapter and its cable: two ends with names that stay; what goes into one comes out of the other."""

    def __init__(self, folder: Path) -> None:
        self.near = folder / "near"
        self.far = folder / "far"
        self._wire = Wire(folder / "cable.log", [f"PTY,link={end},raw,echo=0" for end in (self.near, self.far)])
        self._held: list[int] = []

    def plug(self) -> None:
        """Make both ends appear."""
        self._wire.start()
        # A pseudo-terminal that its last user closes is the end of the cable for socat. An adapter stays.
        self._held = [os.open(end, os.O_RDWR | os.O_NOCTTY) for end in (self.near, self.far)]

    def pull(self) -> None:
        """Let both ends disappear, their names too; whoever has one open is hung up."""
        self._wire.end()
        while self._held:
            os.close(self._held.pop())


@contextmanager
def wire(log: Path, *ends: str) -> Iterator[None]:
    """Join two ends, as socat writes them, for the length of the context."""
    joined = Wire(log, ends)
    try:
        joined.start()
        yield
    finally:
        joined.end()


@contextmanager
def cable(folder: Path) -> Iterator[Cable]:
    """Plug in a cable for the length of the context."""
    joined = Cable(folder)
    try:
        joined.plug()
        yield joined
    finally:
        joined.pull()
