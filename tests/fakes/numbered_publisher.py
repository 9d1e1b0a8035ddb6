"""A sender that numbers its messages and goes on whatever becomes of the receiver."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fakes.mosquitto import publish

# Together about as fast as a busy greenhouse; a daemon that starts has something to catch up with.
PAUSE_S = 0.02

# The topics and payloads that carry a number.
Messages = Callable[[int], Sequence[tuple[str, str]]]


class NumberedPublisher:
    """Publishes messages 1, 2, 3, … one after the other; each is the broker's before the next is sent."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.count = 0

    @contextmanager
    def at_work(self, port: int) -> Iterator[None]:
        """Publish for the length of the context."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(PAUSE_S):
                publish(port, self._messages(self.count + 1))
                self.count += 1

        thread = threading.Thread(target=work, name="publisher")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
