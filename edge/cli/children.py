"""Child processes of the demo: started, watched, started again when they end, and stopped in reverse order."""

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drivers.simulation.child_process import ending_with_us, stop
from edge.domain.backoff import Backoff

# Without a pause a child that cannot start would be tried a hundred times a second.
RESTART = Backoff(first_s=0.5, longest_s=15.0)
# A child that ran for so long has started: its next end counts as the first failure.
STARTED_S = 10.0
# The daemon promises to stop within 5 s.
STOP_TIMEOUT_S = 8.0
# Enough for the last line of a log, also behind a long traceback line.
LOG_END = 4096


@dataclass(kw_only=True)
class Child:
    """One verb of ours as a process of its own; what it says goes to a file. It never outlives us."""

    name: str
    arguments: Sequence[str]
    log_file: Path
    restarts: int = 0
    # Ends in a row without having lived for STARTED_S, and why the last one was; empty while it runs.
    failures: int = 0
    trouble: str = ""
    process: asyncio.subprocess.Process | None = field(default=None)
    # Gives a number in [0, 1), for the back-off.
    chance: Callable[[], float] = random.random

    @property
    def pid(self) -> int | None:
        """The process, or None between two of them."""
        return None if self.process is None or self.process.returncode is not None else self.process.pid

    async def run(self) -> None:
        """Keep it running; ends by cancellation only, and the process with it."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                started_s = loop.time()
                await self._start()
                assert self.process is not None
                code = await self.process.wait()
                self.failures = 1 if loop.time() - started_s >= STARTED_S else self.failures + 1
                delay_s = RESTART.delay_s(self.failures, self.chance)
                self.trouble = f"{_ending(code)}{self._last_words()}; again in {delay_s:.1f} s"
                await asyncio.sleep(delay_s)
                self.restarts += 1
        finally:
            if self.process is not None:
                await stop(self.process, timeout_s=STOP_TIMEOUT_S)

    async def _start(self) -> None:
        with self.log_file.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "edge",
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Control-C at the terminal is for the demo, which then stops its children in order.
                start_new_session=True,
                # If the demo is killed, the kernel ends its children.
                preexec_fn=ending_with_us(),
            )

    def _last_words(self) -> str:
        """Return the last line of its output, for a person at the screen."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, 2) - LOG_END))
                lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        except OSError:
            return ""
        return next((f": {line}" for line in reversed(lines) if line), "")


def _ending(code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
