"""A real broker of one's own: mosquitto on a free loopback port, started, killed and started again as a test likes."""

import getpass
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from fakes.peers import peer

# Generous: two cores that others use, too.
WAIT_S = 20.0


def free_port() -> int:
    """A port of this machine that nobody has for the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Mosquitto:
    """One broker and its folder; what it keeps is there when it comes back."""

    def __init__(self, folder: Path, lines: Iterable[str]) -> None:
        self._program = peer("mosquitto")
        self._folder = folder
        self._lines = tuple(lines)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def start(self) -> None:
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(
            "\n".join(
                [
                    f"listener {self.port} 127.0.0.1",
                    # As root it would become somebody who may not write here.
                    f"user {getpass.getuser()}",
                    "persistence true",
                    f"persistence_location {self._folder}/",
                    "autosave_interval 0",
                    "max_queued_messages 100000",
                    *self._lines,
                ]
            )
        )
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(configuration), "-v"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + WAIT_S
        while not self._answers():
            assert self._process.poll() is None, f"mosquitto ended:\n{self.log}"
            assert time.monotonic() < deadline_s, f"mosquitto does not listen:\n{self.log}"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def save(self) -> None:
        """Let it write down what it has, as it does from time to time."""
        assert self._process is not None
        file = self._folder / "mosquitto.db"
        before = file.stat().st_mtime_ns if file.exists() else 0
        self._process.send_signal(signal.SIGUSR1)
        deadline_s = time.monotonic() + WAIT_S
        while not file.exists() or file.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline_s, f"mosquitto does not save:\n{self.log}"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it in order: it writes down what it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(WAIT_S)


@contextmanager
def mosquitto(folder: Path, *lines: str) -> Iterator[Mosquitto]:
    """Run a broker; `lines` go into its configuration. Without any, everybody may come in."""
    broker = Mosquitto(folder, lines or ["allow_anonymous true"])
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def publish(port: int, messages: Iterable[tuple[str, bytes | str]], *, quality: int = 1, retain: bool = False) -> None:
    """Publish, in order; with quality 1 the broker has them when this returns."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        for published in [client.publish(topic, payload, quality, retain) for topic, payload in messages]:
            published.wait_for_publish(WAIT_S)
    finally:
        client.disconnect()
        client.loop_stop()
