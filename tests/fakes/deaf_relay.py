"""A line to a TCP port of this machine that can lose what is said on it, while what is heard still arrives."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CHUNK = 65_536


class DeafRelay:
    """Passes bytes on in both directions; `is_deaf` drops those of whoever connected. Works in threads of its own."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_deaf = False
        self._lines: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def cut(self) -> None:
        """Close all connections; new ones are accepted."""
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for line in (*self._lines, self._listener):
            line.close()

    def _run(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        # Ends when the listener is shut down.
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._lines.append(near)
                far = socket.create_connection(("127.0.0.1", self._target_port))
                self._lines.append(far)
                self._run(self._say, near, far)
                self._run(self._hear, far, near)

    def _say(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while said := near.recv(CHUNK):
                if not self.is_deaf:
                    far.sendall(said)
        self._end(near, far)

    def _hear(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while heard := far.recv(CHUNK):
                near.sendall(heard)
        self._end(near, far)

    @staticmethod
    def _end(*lines: socket.socket) -> None:
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@contextmanager
def deaf_relay(target_port: int) -> Iterator[DeafRelay]:
    """Run a relay for the length of the context."""
    relay = DeafRelay(target_port)
    try:
        yield relay
    finally:
        relay.close()
