"""The bytes of one connection to a broker: what paho takes for its socket, on a transport of asyncio.

asyncio looks up names, connects, does TLS and buffers; paho reads and writes packets. paho's own socket would block for
all that, and read a message in four system calls. Here it is handed whole packets, one at a time, so reading can stop
between any two of them.
"""

import asyncio
from collections.abc import Callable

from drivers.mqtt.packets import PINGREQ, LongMessage, NoPacket, check_greeting, long_message, packet_length

# No device of the catalogue sends a message of more than some kilobytes; pictures and firmware do.
PACKET_LENGTH_MAX = 256 * 1024
# A broker that has not closed by then is not waited for: what it has not read of our acknowledgements comes again.
CLOSE_TIMEOUT_S = 1.0


class Link(asyncio.Protocol):
    """One connection's bytes.

    Calls back for each whole packet, for each message that is too long, and at the end with the reason (empty: the
    broker closed the connection).
    """

    def __init__(
        self,
        *,
        on_packet: Callable[[], None],
        on_long_message: Callable[[LongMessage], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._on_packet = on_packet
        self._on_long_message = on_long_message
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()
        self._received = bytearray()
        self._is_greeted = False
        # The packet that paho is reading, and how far.
        self._packet = b""
        self._position = 0
        # Bytes of a message that is too long, still to be passed over.
        self._passing_over = 0
        self._to_send = bytearray()
        self._is_paused = False
        self._is_closing = False
        self.last_received_s = 0.0
        self.last_sent_s = 0.0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.last_received_s = self.last_sent_s = self._now_s()

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        if not self._is_closing:
            self.last_received_s = self._now_s()
            self._received += data
            self._read_packets()

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the connection is gone."""
        self._closed.set()
        self._on_lost("" if exc is None else f"the connection broke: {exc}")

    # What paho calls, as on a socket.

    def recv(self, buffer_size: int) -> bytes:
        """Give paho bytes of the packet it is reading."""
        part = self._packet[self._position : self._position + buffer_size]
        self._position += len(part)
        if not part and buffer_size:
            raise BlockingIOError
        return part

    def send(self, buffer: bytes | bytearray) -> int:
        """Take what paho sends; it goes out with `flush`."""
        self._to_send += buffer
        return len(buffer)

    def close(self) -> None:
        """Read nothing any more, and let the broker close, as it does after a DISCONNECT.

        Closed from here with something unread, TCP would tear down what the broker has not read either: the last
        acknowledgements.
        """
        self._is_closing = True
        if self._transport is not None and not self._closed.is_set():
            self.flush()
            if self._is_paused:
                self._transport.resume_reading()

    def fileno(self) -> int:
        """Needed by paho's own loops only."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """Nothing here ever blocks."""

    # What the session calls.

    @property
    def is_paused(self) -> bool:
        """Whether reading has stopped."""
        return self._is_paused

    def pause(self) -> None:
        """Stop reading after the packet at hand. What the broker still sends waits in the buffers of TCP, then there.

        There it is bounded, too (mosquitto: `max_queued_messages`), and a pause of hours loses the newest messages.
        """
        if not self._is_paused and self._transport is not None and not self._closed.is_set():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and self._transport is not None and not self._closed.is_set():
            self._is_paused = False
            # It was not the broker that was silent.
            self.last_received_s = self._now_s()
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self._read_packets)

    def ping(self) -> None:
        """Ping the broker. paho would also judge the answer, which may wait unread behind a pause."""
        self._to_send += PINGREQ
        self.flush()

    def flush(self) -> None:
        """Send what was written, in one piece."""
        if self._to_send and self._transport is not None:
            self._transport.write(self._to_send)
            self._to_send = bytearray()
            self.last_sent_s = self._now_s()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, and close it if that takes too long."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._closed.wait()
        except TimeoutError:
            pass
        finally:
            self.abort()

    def _read_packets(self) -> None:
        try:
            while not self._is_paused and not self._is_closing and self._read_packet():
                pass
        except NoPacket as error:
            self._on_lost(f"what is there does not speak MQTT: {error}")
            self.abort()

    def _read_packet(self) -> bool:
        """Let paho take the next packet; return whether there was a whole one."""
        if self._passing_over:
            passed = min(self._passing_over, len(self._received))
            del self._received[:passed]
            self._passing_over -= passed
        if not self._is_greeted and self._received:
            check_greeting(self._received)
            self._is_greeted = True
        length = packet_length(self._received)
        if length is None:
            return False
        if length > PACKET_LENGTH_MAX:
            message = long_message(self._received, length)
            if message is not None:
                self._passing_over = length
                self._on_long_message(message)
            return message is not None
        if len(self._received) < length:
            return False
        self._packet, self._position = bytes(self._received[:length]), 0
        del self._received[:length]
        self._on_packet()
        return True

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
