"""Our own verbs as child processes, ended on all paths; and what the kernel knows of them."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.simulation.child_process import stop

# A small box needs seconds to import grpc for the first time.
START_TIMEOUT_S = 60.0
# The daemon promises to stop within 5 s.
STOP_TIMEOUT_S = 8.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ChildFailed(Exception):  # noqa: N818 - names the situation
    """A child process did not do what it was started for; the message names its log."""


class PeerMissing(Exception):  # noqa: N818
    """A program that a figure is measured with is not installed. Remedy: install it, or do without the figure."""


def program(name: str) -> str:
    """Return the path of an installed program. Raises PeerMissing."""
    # Debian puts daemons where an ordinary user's PATH does not look.
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")
    if found is None:
        raise PeerMissing(f"{name} is not installed")
    return found


@asynccontextmanager
async def child(log_file: Path, *arguments: str | Path) -> AsyncIterator[Process]:
    """Run one verb for the length of the context."""
    with log_file.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", *map(str, arguments), stdin=DEVNULL, stdout=PIPE, stderr=output
        )
    try:
        yield process
    finally:
        await stop(process, timeout_s=STOP_TIMEOUT_S)


@asynccontextmanager
async def store(directory: Path) -> AsyncIterator[str]:
    """Run the embedded event store in a process of its own; gives its URI."""
    directory.mkdir(parents=True, exist_ok=True)
    log_file = directory.parent / f"{directory.name}.log"
    async with child(log_file, "event-store", "--listen", "127.0.0.1:0", "--state-dir", directory) as process:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                uri = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            uri = ""
        if not uri.startswith("esdb://"):
            raise ChildFailed(f"the event store did not start: {_said(log_file)}")
        yield uri


@asynccontextmanager
async def peer_module(log_file: Path, module: str, *arguments: str) -> AsyncIterator[str]:
    """Run one of the bench's own peers; gives the first line it prints (its port)."""
    with log_file.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=output
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = (await process.stdout.readline()).decode().strip()
        if not line:
            raise ChildFailed(f"{module} did not start: {_said(log_file)}")
        yield line
    finally:
        await stop(process, timeout_s=STOP_TIMEOUT_S)


@asynccontextmanager
async def daemon(site_file: Path, state_directory: Path) -> AsyncIterator[Process]:
    """Run the gateway in a process of its own."""
    log_file = state_directory.parent / f"{state_directory.name}.log"
    async with child(log_file, "run", site_file, "--state-dir", state_directory) as process:
        yield process


def _said(log_file: Path) -> str:
    return log_file.read_text(encoding="utf-8", errors="replace")[-2000:]


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in RAM right now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ChildFailed(f"process {pid} has ended")


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used, in user and kernel mode."""
    # The name, in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
