"""Ports whose opening hangs in the kernel until a test lets it go on."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# A test that fails must not hang for ever with its thread.
HELD_S_MAX = 10.0
LOOK_S = 0.005


class HeldOpenings:
    """Takes the place of `os.open` for the ports that are held; all others open as always."""

    def __init__(self) -> None:
        self.openings = 0
        self._ports: set[str] = set()
        self._released = threading.Event()
        self._open = os.open

    @classmethod
    @contextmanager
    def patched(cls, monkeypatch: pytest.MonkeyPatch) -> Iterator["HeldOpenings"]:
        held = cls()
        monkeypatch.setattr(os, "open", held._open_held)
        try:
            yield held
        finally:
            held.release()

    def hold(self, port: str) -> None:
        # A link and what it leads to are one port.
        self._ports |= {port, os.path.realpath(port)}

    def release(self) -> None:
        self._released.set()

    @property
    def is_held(self) -> bool:
        return not self._released.is_set()

    async def begun(self) -> None:
        """Wait until a held port is being opened. On the event loop it would be open before this returns."""
        async with asyncio.timeout(HELD_S_MAX):
            while not self.openings:  # noqa: ASYNC110 - told by a thread
                await asyncio.sleep(LOOK_S)
        assert self.is_held

    async def closed(self, port: str) -> None:
        """Wait until this process has opened the port and has it open no more."""
        async with asyncio.timeout(HELD_S_MAX):
            while not self.openings or self._is_open(port):  # noqa: ASYNC110 - as above
                await asyncio.sleep(LOOK_S)

    def _is_open(self, port: str) -> bool:
        """Whether the port was opened by a driver: the peer's end of a pseudo-terminal keeps it open, too."""
        wanted = Path(os.path.realpath(port))
        return sum(entry.readlink() == wanted for entry in Path("/proc/self/fd").iterdir() if entry.exists()) > 1

    def _open_held(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if str(path) in self._ports:
            self.openings += 1
            self._released.wait(HELD_S_MAX)
        return self._open(path, flags, *rest, **named)
