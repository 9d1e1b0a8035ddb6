"""How a connection to a broker ends."""

import asyncio
import socket

from drivers.mqtt.link import Link

CONNACK = bytes.fromhex("20020000")
PUBLISH = bytes.fromhex("30050001610000")
ACKNOWLEDGEMENTS = bytes.fromhex("4002000140020002")
DISCONNECT = bytes.fromhex("e000")
# Several times what the sockets' buffers hold, which are small here.
BUFFER_BYTES = 32_768
BACKLOG = PUBLISH * 200_000


def heard_behind_a_backlog(listener: socket.socket) -> bytes:
    """A broker that reads only when all that it has to send is gone; return what it reads."""
    line, _ = listener.accept()
    with line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        try:
            line.sendall(CONNACK + BACKLOG)
        except ConnectionError:
            return b"nothing: the client was gone before"
        heard = b""
        while not heard.endswith(DISCONNECT) and (part := line.recv(1024)):
            heard += part
    return heard


async def test_the_last_acknowledgements_reach_a_broker_that_we_had_stopped_to_read_from() -> None:
    packets = 0

    def on_packet() -> None:
        nonlocal packets
        packets += 1
        link.recv(len(PUBLISH))
        link.pause()

    lost: list[str] = []
    link = Link(on_packet=on_packet, on_long_message=lambda _: None, on_lost=lost.append)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = asyncio.create_task(asyncio.to_thread(heard_behind_a_backlog, listener))
        await asyncio.to_thread(line.connect, listener.getsockname())
        await asyncio.get_running_loop().create_connection(lambda: link, sock=line)
        while not link.is_paused:  # noqa: ASYNC110 - the link tells nobody of it
            await asyncio.sleep(0.001)
        link.send(ACKNOWLEDGEMENTS + DISCONNECT)
        link.close()
        await link.wait_closed()
        assert await broker == ACKNOWLEDGEMENTS + DISCONNECT
    # The broker closed, not we; and of all that it had sent, nothing was looked at any more.
    assert (packets, lost) == (1, [""])
