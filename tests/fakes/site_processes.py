"""A whole site of real processes: what a system test starts, kills, stops and asks, as a person would."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.simulation.demo import render_demo_site

# Generous: two cores that others use, too.
WAIT_S = 120.0
# What every process of ours promises to need at most when it is asked to stop.
STOP_S = 5.0


@dataclass
class Site:
    """One site's directory and processes."""

    directory: Path
    environment: dict[str, str]
    store_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def site_file(self) -> Path:
        return self.directory / "site.toml"

    @property
    def event_store_uri(self) -> str:
        return f"esdb://127.0.0.1:{self.store_port}?tls=false"

    @property
    def state(self) -> Path:
        return self.directory / "gateway"

    def start(self, verb: str) -> subprocess.Popen[bytes]:
        """Start one of the three processes."""
        arguments: dict[str, Sequence[str]] = {
            "event-store": ("--listen", f"127.0.0.1:{self.store_port}", "--state-dir", str(self.directory / "store")),
            "simulate": (str(self.directory / "greenhouse.toml"), "--write", str(self.site_file)),
            "run": (str(self.site_file), "--state-dir", str(self.state)),
        }
        log = (self.directory / f"{verb}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edge", verb, *arguments[verb]], stdout=log, stderr=log, env=self.environment
            )
        self.processes[verb] = process
        return process

    def end(self, verb: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal that ends a process; return its exit code."""
        process = self.processes.pop(verb)
        process.send_signal(number)
        return process.wait(STOP_S)

    def store_state(self) -> str:
        """How the daemon sees its link; empty while it does not answer."""
        status = self.status()
        return "" if status is None else str(status["eventStore"]["state"])

    def verb(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another verb as a person would."""
        return subprocess.run(
            [sys.executable, "-m", "edge", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=WAIT_S,
        )

    def wait_until(self, reached: Callable[[], bool], what: str) -> None:
        """Ask again and again until something is so; a process that ended meanwhile is told with its words."""
        end = time.monotonic() + WAIT_S
        while not reached():
            for verb, process in self.processes.items():
                assert process.poll() is None, f"{verb} ended: {(self.directory / f'{verb}.log').read_text()[-2000:]}"
            assert time.monotonic() < end, f"waited {WAIT_S} s for {what}"
            time.sleep(0.05)

    def status(self) -> dict[str, Any] | None:
        """Ask the daemon; None while it does not answer."""
        done = self.verb("status", "--state-dir", str(self.state), "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def events(self) -> list[dict[str, Any]]:
        """Everything in the store, in the store's order."""
        done = self.verb("events", "tail", "--uri", self.event_store_uri)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def pending(self) -> int:
        """How many events wait to be forwarded; -1 while the daemon does not answer."""
        status = self.status()
        return -1 if status is None else sum(status["outbox"]["pendingByStream"].values())

    def wait_for_samples(self, count: int) -> None:
        """Wait until that many more events are on disk than when this was first asked."""
        first: list[int] = []

        def reached() -> bool:
            status = self.status()
            if status is None:
                return False
            first.append(status["outbox"]["lastPosition"])
            return bool(status["outbox"]["lastPosition"] >= first[0] + count)

        self.wait_until(reached, f"{count} more samples")


@contextmanager
def open_empty_site() -> Iterator[Site]:
    """Make a short temporary directory for a site; end whatever still runs afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="ge-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(directory)}
    environment.pop("RUNTIME_DIRECTORY", None)
    site = Site(directory=directory, environment=environment, store_port=port)
    try:
        yield site
    finally:
        for process in site.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(WAIT_S)
        shutil.rmtree(directory)


@contextmanager
def open_site(*, poll_interval_s: float = 0.5) -> Iterator[Site]:
    """Lay out a demo site."""
    with open_empty_site() as site:
        text = render_demo_site(event_store_uri=site.event_store_uri)
        # The connections' intervals; a device that has its own keeps it.
        text = re.sub(r"^poll_interval_s = \d+$", f"poll_interval_s = {poll_interval_s}", text, flags=re.MULTILINE)
        (site.directory / "greenhouse.toml").write_text(text)
        yield site
