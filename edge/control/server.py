"""The daemon's end of the control socket: one JSON line asks, one JSON line answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from edge.domain.event import Json

log = structlog.get_logger()

# What the daemon can be asked, and the callables that answer; the gateway brings them. `JsonPieces` writes an answer.
Operation = Callable[[Mapping[str, Json]], Awaitable[object]]
Operations = Mapping[str, Operation]
JsonPieces = Callable[[object], Iterator[str]]

# A request names an operation and, at most, all devices of a site.
REQUEST_BYTES_MAX = 1 << 16
# Verbs are typed by people; a stuck one must not hold its place.
REQUEST_TIMEOUT_S = 10.0
# Reading the many devices of a slow bus takes minutes.
ANSWER_TIMEOUT_S = 600.0
# A few people with a live view each. Every connection costs a task and a file descriptor that the devices may need.
CONNECTIONS_MAX = 32
# The loop turns after so much of an answer: encoding it takes about 2 ms. The status of 1,000 devices has 600 KiB.
TURN_BYTES = 32 * 1024


class RequestMistaken(ValueError):  # noqa: N818 - names the situation; the asker's remedy
    """The arguments of a request make no sense; the message says why."""


@asynccontextmanager
async def serve_control(socket: Path, operations: Operations, *, json_pieces: JsonPieces) -> AsyncIterator[None]:
    """Answer on a unix socket (mode 0660) for the length of the context.

    The caller holds the state directory's lock, so a socket that is still there belongs to a dead daemon. The end of
    the context waits for no client: it cancels what is under way.
    """
    socket.unlink(missing_ok=True)
    async with asyncio.TaskGroup() as tasks:
        answering: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(answering) >= CONNECTIONS_MAX or not server.is_serving():
                writer.transport.abort()
                return
            task = tasks.create_task(_answer(reader, writer, operations, json_pieces), name="control connection")
            answering.add(task)
            task.add_done_callback(answering.discard)

        server = await asyncio.start_unix_server(accept, path=socket, limit=REQUEST_BYTES_MAX, start_serving=False)
        socket.chmod(0o660)
        await server.start_serving()
        try:
            yield
        finally:
            # Not `async with server`: since Python 3.12.1 that waits until each client has hung up.
            server.close()
            for task in answering:
                task.cancel()
            socket.unlink(missing_ok=True)


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, operations: Operations, json_pieces: JsonPieces
) -> None:
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            line = await reader.readline()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = await _perform(line, operations)
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await _write(writer, json_pieces(answer))
        writer.close()
    except (TimeoutError, ConnectionError, ValueError) as error:  # ValueError: a line beyond the limit
        log.debug("control_request_abandoned", error=str(error))
    finally:
        if not writer.is_closing():
            # What a client does not read would keep a closed transport open.
            writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, pieces: Iterator[str]) -> None:
    written = 0
    for piece in pieces:
        # A path may hold bytes that are not UTF-8; a backslash and its number are valid in JSON text.
        data = piece.encode(errors="backslashreplace")
        writer.write(data)
        written += len(data)
        if written >= TURN_BYTES:
            written = 0
            await writer.drain()
            await asyncio.sleep(0)
    writer.write(b"\n")
    await writer.drain()


async def _perform(line: bytes, operations: Operations) -> dict[str, object]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {"error": "the request is not JSON"}
    name = request.get("operation") if isinstance(request, dict) else None
    if not isinstance(name, str) or name not in operations:
        return {"error": f"unknown operation; known are {', '.join(sorted(operations))}"}
    arguments = request.get("arguments", {})
    if not isinstance(arguments, dict):
        return {"error": "arguments must be an object"}
    try:
        return {"answer": await operations[name](arguments)}
    except RequestMistaken as error:
        return {"error": str(error)}
