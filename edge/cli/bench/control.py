"""What the running daemon says of itself, asked through its control socket."""

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.cli.bench.processes import START_TIMEOUT_S, ChildFailed
from edge.control.client import DaemonAmbiguous, DaemonNotFound, DaemonSilent, ask, find_daemon
from edge.domain.event import Json

# Asking costs the daemon 2 ms at most; the figures are in tenths of seconds.
LOOK_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a daemon has come in this run."""

    pid: int
    # Of its own control events the first says that it started.
    committed: int
    accepted: int
    forwarded: int
    pending: int


async def progress(state_directory: Path) -> Progress | None:
    """Ask the daemon; None if it does not answer."""
    try:
        status = await asyncio.to_thread(lambda: ask(find_daemon(state_directory=state_directory), "status"))
    except (DaemonNotFound, DaemonAmbiguous, DaemonSilent):
        return None
    return Progress(
        pid=_number(status, "pid"),
        committed=_number(status, "outbox", "entriesCommitted"),
        accepted=sum(_number(device, "samplesAccepted") for device in _list(status, "fleet", "devices")),
        forwarded=_number(status, "eventStore", "forwarded"),
        pending=sum(_number(pending) for pending in _values(status, "outbox", "pendingByStream")),
    )


async def until(
    state_directory: Path, process: Process, reached: Callable[[Progress], bool], *, timeout_s: float = START_TIMEOUT_S
) -> Progress:
    """Wait until a daemon has come so far."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        now = await progress(state_directory)
        # The note of one that was killed may still lie there.
        if now is not None and now.pid == process.pid and reached(now):
            return now
        if process.returncode is not None:
            break
        await asyncio.sleep(LOOK_INTERVAL_S)
    log_file = state_directory.parent / f"{state_directory.name}.log"
    said = log_file.read_text(encoding="utf-8", errors="replace")[-2000:] if log_file.exists() else ""
    raise ChildFailed(f"the daemon did not come so far within {timeout_s:g} s: {said}")


def _at(value: Json, *path: str) -> Json:
    for key in path:
        assert isinstance(value, dict), f"the status has objects on the way to {path}"
        value = value[key]
    return value


def _number(value: Json, *path: str) -> int:
    found = _at(value, *path)
    assert isinstance(found, int), f"the status has a number at {path}"
    return found


def _list(value: Json, *path: str) -> list[Json]:
    found = _at(value, *path)
    assert isinstance(found, list), f"the status has a list at {path}"
    return found


def _values(value: Json, *path: str) -> list[Json]:
    found = _at(value, *path)
    assert isinstance(found, dict), f"the status has an object at {path}"
    return list(found.values())
