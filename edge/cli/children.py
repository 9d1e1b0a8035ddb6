"""Child processes of the demo: started, watched, started again when they end, and stopped in reverse order."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# A child that cannot start would otherwise be tried a hundred times a second.
RESTART_DELAY_S = 0.5
# The daemon promises to stop within 5 s.
STOP_TIMEOUT_S = 8.0


@dataclass(kw_only=True)
class Child:
    """One verb of ours as a process of its own; what it says goes to a file."""

    name: str
    arguments: Sequence[str]
    log_file: Path
    restarts: int = 0
    process: asyncio.subprocess.Process | None = field(default=None)

    @property
    def pid(self) -> int | None:
        """The process, or None between two of them."""
        return None if self.process is None or self.process.returncode is not None else self.process.pid

    async def run(self) -> None:
        """Keep it running; ends by cancellation only, and the process with it."""
        try:
            while True:
                await self._start()
                assert self.process is not None
                await self.process.wait()
                self.restarts += 1
                await asyncio.sleep(RESTART_DELAY_S)
        finally:
            await self._stop()

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
            )

    async def _stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            # Somebody may have stopped it to see what happens; it must be able to hear.
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
